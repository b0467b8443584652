"""Asks one tool after the other until one answers.

Promises: `collect` always returns; within about `limit_s` seconds for each tool that is installed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from verify import _real
from verify.backtraces import py_spy, pystack
from verify.backtraces.records import ProcessDump
from verify.backtraces.running import ToolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.backtraces.records import ThreadDump

__all__ = ["LIMIT_S", "collect", "sample"]

LIMIT_S = 10.0
"""Seconds that one tool may take; py-spy takes 0.1 to 0.5, pystack up to 3 with 400 threads."""


def collect(pid: int, limit_s: float = LIMIT_S) -> ProcessDump:
    """Return all threads of process `pid` by the first tool that answers; problems become sentences."""
    # Values of local variables are only read without native frames: no version of py-spy gives both in time.
    ways: tuple[tuple[str, Callable[[], tuple[ThreadDump, ...]]], ...] = (
        ("py-spy --native", partial(py_spy.dump, pid, limit_s, native=True)),
        ("py-spy", partial(py_spy.dump, pid, limit_s)),
        ("py-spy --native", partial(_again, pid, limit_s)),
        ("pystack --native", partial(pystack.dump, pid, limit_s)),
    )
    problems: list[str] = []
    for tool, way in ways:
        try:
            return ProcessDump(pid, tool, way(), tuple(problems))
        except ToolError as error:
            if str(error) not in problems:
                problems.append(str(error))
    return ProcessDump(pid, "", (), tuple(problems))


def _again(pid: int, limit_s: float) -> tuple[ThreadDump, ...]:
    """Ask py-spy once more: now and then it does not find the interpreter of a process that is very busy."""
    _real.sleep(0.05)
    return py_spy.dump(pid, limit_s, native=True)


def sample(pid: int, limit_s: float = LIMIT_S) -> ProcessDump:
    """Return the threads of `pid` with `ThreadDump.state` filled in: what has moved between two samples."""
    try:
        return ProcessDump(pid, "py-spy", py_spy.dump(pid, limit_s, values=True))
    except ToolError as error:
        return ProcessDump(pid, "", (), (str(error),))
