"""Processes and threads as the kernel shows them in /proc.

Promises: what ends while it is looked at is left out, never an error. Figures are the kernel's:
`cpu_ns` and `queued_ns` are nanoseconds on a processor and waiting for one.
Assumes: Linux.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from verify.processes import stat_of

__all__ = [
    "Process",
    "Usage",
    "caught",
    "command",
    "environment",
    "is_python",
    "one",
    "resident",
    "tree",
    "usage",
]

PROC = Path("/proc")
_MOST_ENVIRONMENT = 1 << 20


@dataclass(frozen=True, slots=True)
class Process:
    """One process; `ticks` is its start in clock ticks since boot, which tells a pid used twice."""

    pid: int
    ppid: int
    state: str
    ticks: int


@dataclass(frozen=True, slots=True)
class Usage:
    """One thread: its state letter (`R` runs, `S` sleeps, `D`, `T`, ...), and its time so far."""

    state: str
    cpu_ns: int
    queued_ns: int

    @property
    def wanted_ns(self) -> int:
        """Time on a processor or waiting for one: what a loaded machine does not hide."""
        return self.cpu_ns + self.queued_ns


def one(pid: int) -> Process | None:
    """Return process `pid`, None when it is gone."""
    stat = stat_of(PROC / str(pid))
    return Process(pid, stat.parent, stat.state, stat.ticks) if stat is not None else None


def tree(root: int, without: int = 0) -> tuple[Process, ...]:
    """Return process `root` and its descendants, parents first; empty when it is gone. Zombies are gone.

    Process `without` and what descends from it are left out.
    """
    by_parent: dict[int, list[Process]] = {}
    with suppress(OSError):
        for name in os.listdir(PROC):  # noqa: PTH208 - names are enough, and this is done often
            process = one(int(name)) if name.isdecimal() else None
            if process is not None and process.state not in "ZX" and process.pid != without:
                by_parent.setdefault(process.ppid, []).append(process)
    first = one(root)
    found = [first] if first is not None and first.state not in "ZX" else []
    for process in found:  # grows while it is walked
        found += by_parent.get(process.pid, [])
    return tuple(found)


def usage(pid: int) -> dict[int, Usage]:
    """Return every thread of process `pid` by its kernel id."""
    threads: dict[int, Usage] = {}
    with suppress(OSError):
        for task in (PROC / str(pid) / "task").iterdir():
            with suppress(OSError, ValueError, IndexError):
                cpu, queued = (task / "schedstat").read_text().split()[:2]
                stat = stat_of(task)
                if stat is not None:
                    threads[int(task.name)] = Usage(stat.state, int(cpu), int(queued))
    return threads


def resident(pid: int) -> int:
    """Return the bytes of memory that process `pid` holds, never-written zeros apart; 0 once it is gone."""
    with suppress(OSError, ValueError, IndexError):
        return int((PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def command(pid: int) -> tuple[str, ...]:
    """Return the command line of process `pid`, empty when it is gone."""
    try:
        data = (PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ()
    return tuple(word.decode(errors="replace") for word in data.split(b"\0")[:-1])


def environment(pid: int, name: str) -> str | None:
    """Return the variable `name` that process `pid` was started with; None where that cannot be read."""
    with suppress(OSError), (PROC / str(pid) / "environ").open("rb") as file:
        for entry in file.read(_MOST_ENVIRONMENT).split(b"\0"):
            key, _, value = entry.decode(errors="surrogateescape").partition("=")
            if key == name:
                return value
    return None


def is_python(pid: int) -> bool:
    """Say whether process `pid` runs a Python interpreter, by its program and its libraries."""
    try:
        if "python" in Path(os.readlink(PROC / str(pid) / "exe")).name:  # noqa: PTH115 - the kernel's link
            return True
        return "libpython" in (PROC / str(pid) / "maps").read_text(errors="replace")
    except OSError:
        return False


def caught(pid: int, number: int) -> bool:
    """Say whether process `pid` has a handler for signal `number`: without one the signal would end it."""
    try:
        for line in (PROC / str(pid) / "status").read_text(errors="replace").splitlines():
            if line.startswith("SigCgt:"):
                return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    except (OSError, ValueError, IndexError):
        pass
    return False
