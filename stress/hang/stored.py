"""Hang reports in files.

Promises: a file that is no hang report is one `HangError` that says what to do; nothing else is raised for what a file
holds, and no more of it is read than a report may have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stress.hang import schema
from stress.hang.schema import HangError
from traces.errors import TraceError
from traces.store import read_text

if TYPE_CHECKING:
    from pathlib import Path

    from stress.hang.model import HangReport

__all__ = ["read"]


def read(path: Path) -> HangReport:
    """Return the report in a file; raise `HangError` naming the file for anything else."""
    try:
        text = read_text(path, "give the hang-PID.json of a report", schema.MOST_CHARACTERS)
    except TraceError as error:
        raise HangError(error.culprit, error.problem, error.remedy) from None
    try:
        return schema.from_json(text)
    except HangError as error:
        raise HangError(f"{path}: {error.culprit}", error.problem, error.remedy) from None
