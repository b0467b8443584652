"""What hung and why: from recordings and backtraces to a report in text, JSON and HTML.

`diagnosis.diagnose` makes a `HangReport`, `text.show` and `html.page` print it, `schema` carries it as
JSON with all its evidence.
"""

from __future__ import annotations

from stress.hang.diagnosis import certain, diagnose
from stress.hang.model import VERDICTS, HangReport, HeldRow, ThreadRow

__all__ = ["VERDICTS", "HangReport", "HeldRow", "ThreadRow", "certain", "diagnose"]
