"""Names and figures of processes that several parts ask the system for.

Promises: a signal that `signal` has no name for is named by its number; what /proc does not show (any
more) is None, never an error.
Assumes: Linux, for `stat_of`.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pathlib import Path


class Stat(NamedTuple):
    """A process or thread in /proc: state letter, parent, and its start in clock ticks since boot."""

    state: str
    parent: int
    ticks: int


def stat_of(entry: Path) -> Stat | None:
    """Return what `entry`/stat says, `entry` being a directory of /proc for a process or a thread."""
    try:
        text = (entry / "stat").read_text(encoding="ascii", errors="replace")
        # The command's name is in brackets and may contain anything, brackets too.
        fields = text[text.rindex(")") + 1 :].split()
        return Stat(fields[0], int(fields[1]), int(fields[19]))
    except (OSError, ValueError, IndexError):
        return None


def signal_name(number: int) -> str:
    """Return a signal's name; most real-time signals have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
