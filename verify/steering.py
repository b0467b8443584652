"""The search for a hang that a recording shows: executions steered by its order of operations, until one ends like it.

Promises: a find is a schedule whose execution ended in the same class of failure, with every thread to blame waiting
where the recorded thread of its name waited, and it is run again with every listener on and on OS threads, as any find
of an exploration. What was not found says how far the executions came.
Does not: shrink the schedule; nor say that a hang cannot happen.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from verify import _real
from verify.course import MAIN, Course, Stand, same_name, site_of_text
from verify.explore import Group, confirm, why_not
from verify.runtime.naming import Holdable
from verify.session import Session
from verify.sites import describe, frames
from verify.strategies.steered import Steered
from verify.watchdog import print_hang

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from verify.abc import Finding
    from verify.program import Program
    from verify.runtime.execution import Execution
    from verify.runtime.task import Task
    from verify.session import Outcome

__all__ = ["CAUSES", "Steering", "steer"]

_STANDS: Final = ("deadlock", "self-deadlock", "blocked for ever")
CAUSES: Final[Mapping[str, tuple[str, ...]]] = {
    "deadlock": (*_STANDS, "lost wake-up"),
    "lock held by a dead thread": ("lock held by a dead thread",),
    "lost wake-up": ("lost wake-up", *_STANDS),
    "blocked I/O": ("blocked for ever",),
    "livelock": ("livelock", "spin"),
    "spin": ("spin", "livelock"),
    "merely slow": ("livelock", "spin"),
}
"""Which causes of a check mean the same as a verdict of a hang report; where threads wait decides the rest.

A check calls a wait without an owner (a permit, an item, an arrival) "blocked for ever", whoever waits for whom.
"""
FUTURES: Final = f"concurrent{os.sep}futures{os.sep}"
MOVING: Final = frozenset({"livelock", "spin"})


@dataclass(slots=True)
class Steering:
    """What a search came to. `group` is the find; `others` are failures of other kinds that were met on the way.

    `followed` is the longest beginning of the recorded order that an execution made, `arrived` the names of the
    threads that stood in their last wait in the execution in which most of them did; `stopped` says why the search
    ended before its budget did.
    """

    program: Program
    course: Course
    seed: int
    executions: int = 0
    seconds: float = 0.0
    group: Group | None = None
    followed: int = 0
    arrived: tuple[str, ...] = ()
    others: Counter[str] = field(default_factory=Counter)
    stopped: str = ""

    @property
    def doubt(self) -> str:
        """Return why the find, if there is one, is not to be trusted."""
        return "" if self.group is None else self.group.doubt


class _Ends:
    """Looks at where every task stands while the stacks of a failed execution are still there."""

    def __init__(self, steered: Steered) -> None:
        self.steered = steered
        self.clear()

    def clear(self) -> None:
        """Forget the last execution."""
        self.stands: dict[str, Stand] = {}
        self.arrived: tuple[str, ...] = ()
        self.moving: frozenset[str] = frozenset()

    def look(self, execution: Execution) -> None:
        """Take down where tasks wait, which of them arrived, and which tracks move on."""
        arrived: list[str] = []
        moving: list[str] = []
        for task in execution.tasks:
            stand = _stand(execution, task)
            if stand is not None:
                self.stands[task.path] = stand
            place = self.steered.place_of(task)
            if place is None:
                continue
            if stand is not None and stand == place.track.stand:
                arrived.append(place.track.name)
            if place.track.moving:
                moving.append(task.path)
        self.arrived = tuple(arrived)
        self.moving = frozenset(moving)


@dataclass(frozen=True, slots=True)
class _Sought:
    """What the hang looked like: who waited where, which causes mean it, in which functions threads computed."""

    stands: Counter[Stand]
    causes: tuple[str, ...]
    busy: frozenset[tuple[str, str]]

    def is_it(self, finding: Finding, ends: _Ends) -> bool:
        """Say whether an execution ended in the recorded hang."""
        if finding.cause not in self.causes:
            return False
        if finding.cause in MOVING:
            return ends.moving.issuperset(finding.culprits) and self._same_loop(finding)
        waiting = Counter(ends.stands[path] for path in finding.culprits if path in ends.stands)
        return bool(waiting) and waiting <= self.stands

    def _same_loop(self, finding: Finding) -> bool:
        if finding.cause != "spin" or not self.busy:
            return True
        file, _, function = finding.key[0].rpartition(" ")
        return (PurePath(file).name, function.rpartition(".")[2]) in self.busy


def _stand(execution: Execution, task: Task) -> Stand | None:
    """Return where a blocked task waits, as a recording words it."""
    waits = execution.waits_for(task)
    if waits is None:
        return None
    op = "Barrier.wait" if task.op == "Barrier.leave" else task.op
    if isinstance(waits[0], Holdable) and op.startswith("Condition."):
        op = f"{waits[0].KIND}.acquire"
    name = MAIN if task.index == 0 else same_name(task.title)
    return name, op, _site(execution, task)


def _site(execution: Execution, task: Task) -> str:
    """Return the site of the call that a recording names: a wait for a future is not one of its parts."""
    for frame in frames(execution.frame_of(task)):
        if FUTURES not in frame.f_code.co_filename:
            return site_of_text(describe(frame))
    return ""


def steer(
    program: Program,
    course: Course,
    verdict: str,
    *,
    executions: int | None = 1000,
    seconds: float | None = None,
    seed: int = 0,
    busy: frozenset[tuple[str, str]] = frozenset(),
    on_hang: Callable[[str], None] = print_hang,
) -> Steering:
    """Search for the hang at the end of `course` until it is found or the budget is spent.

    `verdict` is that of the hang report (`CAUSES`); `busy` are the functions, as (file name, name), in which a thread
    computed: a loop without operations has to be in one of them, where they are known.
    """
    strategy = Steered(course, seed)
    ends = _Ends(strategy)
    state = Steering(program, course, seed)
    sought = _Sought(course.stands, CAUSES.get(verdict, ()), busy)
    start = _real.perf_counter()
    with Session(program, on_hang=on_hang, learn=True) as session:
        while executions is None or state.executions < executions:
            strategy.new_execution()
            ends.clear()
            outcome = session.run(strategy, program.detectors(), on_stop=ends.look)
            if outcome.abort is not None:
                state.stopped = why_not(outcome.abort)
                break
            state.executions += 1
            state.seconds = _real.perf_counter() - start
            _keep_best(state, strategy, ends)
            if outcome.finding is not None and sought.is_it(outcome.finding, ends):
                state.group = _found(state, outcome, outcome.finding)
                confirm(session, state.group, strategy)
                break
            if outcome.finding is not None:
                state.others[f"{outcome.finding.cause}: {outcome.finding.message}"] += 1
            if seconds is not None and state.seconds >= seconds:
                break
    state.seconds = _real.perf_counter() - start
    return state


def _keep_best(state: Steering, strategy: Steered, ends: _Ends) -> None:
    state.followed = max(state.followed, strategy.followed())
    if len(ends.arrived) > len(state.arrived):
        state.arrived = ends.arrived


def _found(state: Steering, outcome: Outcome, finding: Finding) -> Group:
    return Group(
        finding, outcome.choices, state.executions, state.seconds, granularity=outcome.granularity
    )
