"""What a program under test, or a scenario around it, may say to the check that runs it.

Every function is a no-op outside a controlled thread (`draw` returns 0), so code that calls them
runs unchanged without a check.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import VALUE, WATCHED, Finding, InvariantError
from verify.detectors.invariants import Invariants
from verify.detectors.linearizability import finding_of
from verify.detectors.sometimes import Sometimes
from verify.linear.search import MOST_STATES, judge
from verify.primitives.conditions import ConditionState
from verify.primitives.patches import me_of
from verify.runtime import current
from verify.runtime.naming import Holdable, Named

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.linear.history import History
    from verify.linear.specs import Spec


class Access:
    """The target of an access: elements [lo, hi) of a named object, or an `item` of it; see `verify.abc.AccessView`.

    `key` tells what it is on from everything else in an execution.
    """

    __slots__ = ("hi", "how", "item", "key", "lo", "object", "pair")

    key: str | tuple[str, int, int]

    def __init__(  # noqa: PLR0917 - made at every access to a part seen for the first time
        self, object_name: str, lo: int, hi: int, pair: str = "", item: str = "", how: str = VALUE
    ) -> None:
        self.key = (object_name, lo, hi)
        self.object = object_name
        self.lo = lo
        self.hi = hi
        self.pair = pair or object_name
        self.item = item
        self.how = how

    @property
    def name(self) -> str:
        """`object[lo:hi]`, or the object alone for a single value."""
        return f"{self.object}[{self.lo}:{self.hi}]" if self.hi else self.object


def access(object_name: str, lo: int = 0, hi: int = 0, *, write: bool) -> None:
    """Declare that the caller is about to read or write elements [lo, hi) of `object_name`: a scheduling point."""
    execution = current.controlled()
    if execution is not None:
        execution.point(me_of(execution), "write" if write else "read", Access(object_name, lo, hi))


def draw(bound: int) -> int:
    """Return a value in [0, bound) chosen by the schedule; 0 outside a check."""
    execution = current.controlled()
    return execution.draw(bound) if execution is not None else 0


def advance(seconds: float) -> None:
    """Say that the caller's last action took `seconds` of virtual time."""
    execution = current.controlled()
    if execution is not None:
        execution.advance(seconds)


def is_controlled() -> bool:
    """Say whether the caller is a task of a check."""
    return current.controlled() is not None


def broken(name: str, wrong: str) -> None:
    """Say that invariant `name` does not hold: ends the execution here, while every stack still stands.

    Outside a check it raises `InvariantError`.
    """
    execution = current.controlled()
    if execution is None:
        raise InvariantError(name, wrong)
    culprits = (me_of(execution).path,)
    execution.report(
        Finding(
            cause="broken invariant", message=f"{name}: {wrong}", key=(name,), culprits=culprits
        )
    )


def sometimes(condition: object, name: str) -> None:
    """Say that `condition` should be true in some execution of a search; one in which it never was is inconclusive.

    `name` names the place, at most a thousand of them a search.
    """
    execution = current.controlled()
    if execution is not None:
        for detector in execution.detectors:
            if isinstance(detector, Sometimes):
                detector.see(name, true=bool(condition))
                return


def linearizable(history: History, spec: Spec, *, most: int = MOST_STATES) -> bool:
    """Judge the calls recorded in `history` by a sequential specification; call it when they are over.

    Inside a check a history that no order of the calls explains ends the execution, while every stack
    still stands; outside it raises `InvariantError`. True means explained; False that `most` states did not decide
    it, which is noted.
    """
    result = judge(history.calls, spec, most=most)
    execution = current.controlled()
    culprits = () if execution is None else (me_of(execution).path,)
    found = finding_of(history, result, culprits)
    if found is None:
        return True
    if execution is not None:
        execution.note_or_report(found)
    elif found.fatal:
        raise InvariantError(history.name, "\n".join((found.message, *found.details)))
    return False


def is_free(lock: object) -> bool:
    """Say whether nobody holds a modelled lock, without an operation; for invariants. True outside a check."""
    return not isinstance(lock, Holdable) or lock.holder is None


def label(thing: object, title: str) -> None:
    """Give a lock, condition, event, queue or socket the name under which reports speak of it."""
    execution = current.controlled()
    if execution is None:
        return
    if isinstance(thing, Named):
        thing.label = title
        return
    state = vars(thing).get(ConditionState.KEY)
    if isinstance(state, Named):
        state.label = title


def invariant(
    name: str, check: Callable[[], str | None], *, at_end: bool = False, guarded: bool = False
) -> None:
    """Register an invariant of this execution: `check` returns None, or a sentence that says what is wrong.

    It is called between operations (at every step), or once after the last one (`at_end`), and must
    only read plain state: no lock, no operation. `guarded`: all that it reads changes under one lock, and
    it says nothing while that is held; so schedules that differ in the order of independent steps show it the
    same, and one of them is proof enough (strategy `dpor`).
    """
    execution = current.controlled()
    if execution is None:
        return
    for detector in execution.detectors:
        if isinstance(detector, Invariants):
            (detector.at_end if at_end else detector.each_step).append((name, check))
            if not at_end:
                execution.listen(detector)
                if not guarded:
                    execution.aside(me_of(execution), WATCHED)
            return
    raise RuntimeError(
        f"invariant {name!r} would never be checked: the check's detectors lack verify.detectors.Invariants"
    )
