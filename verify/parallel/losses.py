"""What is left of a batch that cost its worker, gathered before the journal gets it.

Promises: never raises over what a dying process left; text is bounded.
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from verify.parallel.worker import NUMBER, number_file, text_file
from verify.supervise import Fate

if TYPE_CHECKING:
    from pathlib import Path

    from verify.supervise import Ended, Json

MOST_LINES: Final = 120
MOST_CHARACTERS: Final = 400
MOST_TEXT: Final = 65_536


class Obituaries:
    """Adds to a lost batch which execution was under way, and the stacks; `place` is where workers leave marks."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __call__(self, ended: Ended) -> Ended:
        """Return the same task with its value filled in; one that gave up in a blocked call is hung."""
        number, text = number_file(self.place, ended.pid), text_file(self.place, ended.pid)
        value: dict[str, Json] = {"execution": _number(number), "report": []}
        said = _text(text)
        if said:
            first, *lines = said.splitlines()
            ended = replace(ended, fate=Fate.HUNG, message=first)
        else:
            lines = (ended.report or ended.stderr).splitlines()
        value["report"] = [line[:MOST_CHARACTERS] for line in lines[:MOST_LINES]]
        for file in (number, text):
            file.unlink(missing_ok=True)
        return replace(ended, value=value)


def _number(file: Path) -> int:
    try:
        (number,) = NUMBER.unpack(file.read_bytes()[: NUMBER.size])
    except (OSError, struct.error):
        return 0
    return max(0, int(number))


def _text(file: Path) -> str:
    try:
        with file.open(errors="replace") as opened:
            return opened.read(MOST_TEXT)
    except OSError:
        return ""
