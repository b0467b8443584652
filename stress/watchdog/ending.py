"""Ends a process tree: one last dump by faulthandler where a process is prepared for it, then SIGKILL.

Promises: `kill` leaves none of the processes it is given running; a pid that was used again for another
process is left alone. The dump is asked for once, of processes that are about to die: repeated dumps crash
programs whose threads come and go.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from stress.watchdog import processes
from verify.backtraces import faults

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from stress.watchdog.processes import Process

__all__ = ["kill", "last_words"]

PATIENCE_S: Final = 0.3
"""How long a dump may take to begin and to end; it takes some milliseconds."""
_MOST_BYTES: Final = 1_000_000
"""What is read of a dump: with the threads' names put in, it must still fit into a report's file."""


def last_words(targets: Iterable[Process], directory: Path) -> dict[int, str]:
    """Have the processes that are prepared dump all threads by themselves; return the texts by pid."""
    asked: dict[int, Path] = {}
    for target in targets:
        path = directory / f"faults-{target.pid}.txt"
        if path.exists() and processes.caught(target.pid, faults.signal_number()):
            with suppress(OSError):
                os.kill(target.pid, faults.signal_number())
                asked[target.pid] = path
    end = time.monotonic() + PATIENCE_S
    sizes: dict[int, int] = {}
    while asked and time.monotonic() < end:
        time.sleep(0.02)
        now = {pid: _size(path) for pid, path in asked.items()}
        if now == sizes and all(now.values()):
            break
        sizes = now
    return {pid: found for pid, path in asked.items() if (found := _read(path))}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode(errors="replace")
    except OSError:
        return ""


def kill(targets: Iterable[Process]) -> None:
    """Kill the processes in the order given, parents first: a parent that lives on would start its children anew."""
    for pid, ticks in dict.fromkeys((each.pid, each.ticks) for each in targets):
        with suppress(OSError):
            now = processes.one(pid)
            if now is not None and now.ticks == ticks:
                os.kill(pid, signal.SIGKILL)
