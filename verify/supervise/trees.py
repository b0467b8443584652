"""Processes below a process, and ending them all.

Promises: `descendants` reads `/proc` and never fails; `kill_tree` leaves nothing that was there when
it looked, also what made itself a session of its own.
Does not: find processes whose parent has ended, unless they are in the same process group.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from verify.processes import stat_of


def descendants(pid: int) -> list[int]:
    """Return the processes below `pid`, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (stat := stat_of(entry)) is not None:
            children.setdefault(stat.parent, []).append(int(entry.name))
    found: list[int] = []
    todo = [pid]
    while todo:
        below = children.get(todo.pop(), [])
        found += below
        todo += below
    return found


def kill_tree(pid: int) -> None:
    """Kill process `pid`, leader of its group, its group, and all below it."""
    below = descendants(pid)
    with contextlib.suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
    for each in (pid, *below):
        with contextlib.suppress(OSError):
            os.kill(each, signal.SIGKILL)
