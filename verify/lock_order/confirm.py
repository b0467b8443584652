"""The directed search for one cycle: executions that drive its threads to their last acquisitions.

Promises: confirmed is a cycle for which an execution ended as a hang with each of the cornered tasks waiting; its
schedule is run again with every listener on and on OS threads, like any find, and its token replays it. Not reached
says in how many executions; it is no proof of anything.
Assumes that the program takes the locks of the cycle at all when it runs alone: a cycle whose parts come from
different programs cannot be confirmed on one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from traces.lock_order import Outcome, Status, fingerprint
from verify import _real
from verify.explore import Group, confirm, why_not
from verify.session import Session
from verify.strategies.cornered import Cornered, Part
from verify.watchdog import print_hang

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from traces.lock_order import Cycle
    from verify.abc import TaskView
    from verify.program import Program
    from verify.runtime.execution import Execution
    from verify.session import Outcome as Ended

__all__ = ["Steered", "steer_into", "steer_into_all"]

HANGS: Final = frozenset({"deadlock", "lost wake-up", "blocked for ever"})


@dataclass(slots=True)
class Steered:
    """What came of one cycle. `group` is the find; `stopped` says why the search ended before its budget did."""

    cycle: Cycle
    outcome: Outcome
    group: Group | None = None
    stopped: str = ""


class _Ends:
    """Looks, while the stacks of a failed execution still stand, whether the tasks of the circle all wait."""

    def __init__(self, strategy: Cornered) -> None:
        self.strategy = strategy
        self.waiting = False

    def look(self, execution: Execution) -> None:
        """Called where an execution ends with a finding."""
        tasks: tuple[TaskView, ...] = self.strategy.cornered or self.strategy.closed()
        self.waiting = bool(tasks) and all(execution.waits_for(task) is not None for task in tasks)


def steer_into(
    session: Session, program: Program, cycle: Cycle, *, runs: int = 200, seed: int = 0
) -> Steered:
    """Search for the deadlock of `cycle` in at most `runs` executions."""
    parts = [Part(link.held, link.wanted, link.wanted_at) for link in cycle.links]
    strategy = Cornered(parts, seed)
    name = fingerprint(cycle.classes)
    ends = _Ends(strategy)
    start = _real.perf_counter()
    stopped = ""
    for number in range(1, runs + 1):
        strategy.new_execution()
        ends.waiting = False
        ended = session.run(strategy, program.detectors(), record_sites=True, on_stop=ends.look)
        if ended.abort is not None:
            stopped = why_not(ended.abort)
            break
        if not (ends.waiting and ended.finding is not None and ended.finding.cause in HANGS):
            continue
        group = _group(ended, number, _real.perf_counter() - start)
        confirm(session, group, strategy)
        if not group.doubt:
            outcome = Outcome(name, Status.CONFIRMED, number, program.target, group.token, "")
            return Steered(cycle, outcome, group)
        stopped = group.doubt
    outcome = Outcome(name, Status.NOT_REACHED, strategy.executions, program.target, "", stopped)
    return Steered(cycle, outcome, None, stopped)


def _group(ended: Ended, number: int, seconds: float) -> Group:
    assert ended.finding is not None
    return Group(ended.finding, ended.choices, number, seconds, granularity=ended.granularity)


def steer_into_all(
    program: Program,
    cycles: Iterable[Cycle],
    *,
    runs: int = 200,
    seed: int = 0,
    on_hang: Callable[[str], None] = print_hang,
) -> list[Steered]:
    """Search for each cycle in turn."""
    with Session(program, on_hang=on_hang) as session:
        return [steer_into(session, program, cycle, runs=runs, seed=seed) for cycle in cycles]
