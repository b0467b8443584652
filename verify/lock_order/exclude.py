"""The other answer to a cycle: every schedule of the target was run, and all end well.

Promises: excluded is said only where the search was complete at its scheduling points and every execution ended well:
one that a failure ends early could have gone on to the deadlock. A search that its budget stopped says nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from verify.explore import Verdict, explore
from verify.strategies import STRATEGIES
from verify.watchdog import print_hang

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.program import Program

__all__ = ["every_schedule"]

COMPLETE: Final = ("dpor", "dfs")
"""Strategies that come to an end, the quickest first."""


def every_schedule(
    program: Program,
    *,
    executions: int,
    seed: int = 0,
    on_hang: Callable[[str], None] = print_hang,
) -> str:
    """Run every schedule, if `executions` suffice; return what was run where all end well, else ""."""
    strategy = next(STRATEGIES[name] for name in COMPLETE if name in STRATEGIES)(seed)
    state = explore(program, strategy, executions=executions + 1, on_hang=on_hang)
    if state.verdict is not Verdict.EXHAUSTED:
        return ""
    return f"{state.executions:,} executions, {strategy.name}"
