"""The other answer to a cycle: every schedule of the target was run, and none ends in a hang.

Promises: excluded is said only where the search was complete at its scheduling points and no execution ended with
tasks that wait for ever, whatever for. A search that its budget stopped says nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from verify.abc import is_complete, tell
from verify.lock_order.confirm import HANGS
from verify.session import Session
from verify.strategies import DFS
from verify.watchdog import print_hang

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.program import Program

__all__ = ["every_schedule"]

DEPTH_FIRST: Final = "depth first"


def every_schedule(
    program: Program,
    *,
    executions: int,
    seed: int = 0,
    on_hang: Callable[[str], None] = print_hang,
) -> str:
    """Run every schedule, if `executions` suffice; return what was run where none hangs, else ""."""
    strategy = DFS(seed)
    count = 0
    with Session(program, on_hang=on_hang) as session:
        while strategy.new_execution():
            if count >= executions:
                return ""
            outcome = session.run(strategy, program.detectors())
            hangs = outcome.finding is not None and outcome.finding.cause in HANGS
            if outcome.abort is not None or hangs:
                return ""
            count += 1
            cut = outcome.steps > program.settings.max_steps
            tell(strategy, outcome.choices, news=False, cut=cut)
    return f"{count:,} executions, {DEPTH_FIRST}" if is_complete(strategy) else ""
