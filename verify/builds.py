"""Which builds of Python can show a failure: any, or only those that can switch between two instructions.

Promises: stock CPython 3.10 and later hands over only at function entry, at backward jumps, behind
calls and where C code lets go of the lock. A failing schedule that preempts a task at an access
with none of these since the task's last operation is run again with such preemptions left out, and
random schedules that make none are tried; if one of them fails in the same way, that schedule takes
the place of the first and the failure is possible on every build. Otherwise the label says what was
tried. Preemptions at operations of models count as possible: those are calls.
Does not cover: which C calls poll is an implementation detail, so every call but `len` and
`list.append` counts as one that does.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from verify.accesses import run
from verify.granularity import parse
from verify.strategies.random_walk import RandomWalk
from verify.strategies.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import Finding, Strategy, T, TaskView
    from verify.session import Outcome, Session

ANY, RUNNING = "any", "running"
CHOICES = (ANY, RUNNING)
"""Which failures fail a check: any, or those alone that the running build of Python can show."""
EVERY = "possible on every build"
FREE = "needs a free-threaded build (or Python < 3.10)"
ACCESSES = frozenset({"read", "write"})
LEAST_TRIES, MOST_TRIES = 200, 2000


class Feasible:
    """A strategy's choices, less the preemptions that a stock build cannot make."""

    def __init__(self, inner: Strategy) -> None:
        self.inner = inner

    def new_execution(self) -> bool:
        """Prepare the inner strategy."""
        return self.inner.new_execution()

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Go on with the current task where no stock build could switch, else as the inner strategy says."""
        chosen = self.inner.choose(enabled, current)
        return current if is_held(current) else chosen

    def draw(self, bound: int) -> int:
        """Draw as the inner strategy."""
        return self.inner.draw(bound)


def is_held(current: TaskView) -> bool:
    """Whether no stock build could hand over from the task that runs (asked while accesses are labelled)."""
    return current.op in ACCESSES and current.runnable and not run.feasible


def is_for_another(build: str) -> bool:
    """Whether a label names builds that the running interpreter is not one of."""
    has_gil = getattr(sys, "_is_gil_enabled", lambda: True)
    return build.startswith(FREE) and has_gil()


def judge(
    session: Session, finding: Finding, choices: tuple[int, ...], granularity: str, first: int
) -> tuple[str, tuple[int, ...]]:
    """Return the build that a failure needs, and the schedule to show for it.

    `first` is how many executions it took to find it; ten times as many feasible ones are tried.
    """
    if not parse(granularity).pairs:
        return EVERY, choices
    key = (finding.cause, *finding.key)
    with session.at(granularity, labelling=True):
        recorded = Replay(choices)
        recorded.new_execution()
        session.run(recorded, session.program.detectors(), record_sites=True)
        places = list(dict.fromkeys(run.infeasible))
        if not places:
            return EVERY, choices
        tries = min(max(LEAST_TRIES, 10 * first), MOST_TRIES)
        found = _feasible(session, key, choices, tries)
    if found is not None:
        return EVERY, found.choices
    text = (
        f"{FREE}: it preempts at {', '.join(places[:3])}, where no stock build since 3.10 hands over; "
        f"{tries + 1:,} schedules without such preemptions did not show it"
    )
    return text, choices


def _feasible(
    session: Session, key: tuple[str, ...], choices: tuple[int, ...], tries: int
) -> Outcome | None:
    detectors = session.program.detectors()
    repaired = Feasible(Replay(choices, strict=False))
    walk = Feasible(RandomWalk(len(choices)))
    for strategy in (repaired, *[walk] * tries):
        strategy.new_execution()
        outcome = session.run(strategy, detectors)
        found = outcome.finding
        if outcome.abort is None and found is not None and (found.cause, *found.key) == key:
            return outcome
    return None
