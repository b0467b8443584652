"""One level of a backtrace as a plain value, and how it is read from parsed JSON."""

from __future__ import annotations

from dataclasses import dataclass

from traces._fields import Fields

MOST_FRAMES = 10_000


@dataclass(frozen=True, slots=True)
class Frame:
    """One level of a backtrace: `source` is the text of line `line`, "" where it is not known."""

    file: str
    line: int
    function: str
    source: str


def as_frame(value: object, where: str) -> Frame:
    """Read a `Frame`."""
    fields = Fields(value, where, Frame)
    return Frame(
        file=fields.text("file"),
        line=fields.whole("line"),
        function=fields.text("function"),
        source=fields.text("source"),
    )
