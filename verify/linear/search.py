"""The question whether some order of the calls, each between its begin and its end, obeys the specification.

Wing and Gong's search ("Testing and verifying concurrent objects", JPDC 1993) with Lowe's memo of (calls placed, state)
("Testing for linearizability", CCPE 2017), each key of the specification alone. A call that has not ended may have
taken effect or not, with whatever outcome. Promises: yes and no are exact; after `most` states the
answer is "undecided", never a guess.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from verify.linear.history import Call
    from verify.linear.specs import Spec

MOST_STATES = 200_000


class Answer(StrEnum):
    """What the search came to."""

    YES = "linearizable"
    NO = "not linearizable"
    UNDECIDED = "undecided"


@dataclass(frozen=True, slots=True)
class Result:
    """The answer; for a no, the calls of the key that fails and the longest order that works, as places in `calls`."""

    answer: Answer
    calls: tuple[Call, ...] = ()
    longest: tuple[int, ...] = ()
    states: int = 0


def judge(calls: Sequence[Call], spec: Spec, *, most: int = MOST_STATES) -> Result:
    """Answer for all calls on one object; `most` states are looked at in all."""
    states = 0
    for part in _parts(calls, spec):
        result = _judge_part(part, spec, most - states)
        states += result.states
        if result.answer is not Answer.YES:
            return Result(result.answer, result.calls, result.longest, states)
    return Result(Answer.YES, states=states)


def _parts(calls: Sequence[Call], spec: Spec) -> list[list[Call]]:
    key: Callable[[str, tuple[object, ...]], object] | None = getattr(spec, "key", None)
    if key is None:
        return [list(calls)]
    parts: dict[object, list[Call]] = {}
    for call in calls:
        parts.setdefault(key(call.op, call.args), []).append(call)
    return list(parts.values())


def _judge_part(calls: list[Call], spec: Spec, most: int) -> Result:
    """Search depth first; a frame is the calls placed (a bit each), the state, and the calls yet to be tried."""
    ended = sum(1 << at for at, call in enumerate(calls) if not call.pending)
    state = spec.initial()
    known: set[tuple[int, Hashable]] = {(0, state)}
    order: list[int] = []
    longest: tuple[int, ...] = ()
    stack: list[tuple[int, Hashable, list[int]]] = [(0, state, _next(calls, 0))]
    while stack:
        placed, state, choices = stack[-1]
        if placed & ended == ended:
            return Result(Answer.YES, states=len(known))
        if not choices:
            stack.pop()
            if order:
                order.pop()
            continue
        at = choices.pop()
        call = calls[at]
        after, outcome = spec.step(state, call.op, call.args)
        if not call.pending and not same(outcome, call.outcome):
            continue
        there = placed | 1 << at, after
        if there in known:
            continue
        if len(known) >= most:
            return Result(Answer.UNDECIDED, tuple(calls), longest, len(known))
        known.add(there)
        order.append(at)
        if len(order) > len(longest):
            longest = tuple(order)
        stack.append((*there, _next(calls, there[0])))
    return Result(Answer.NO, tuple(calls), longest, len(known))


def _next(calls: list[Call], placed: int) -> list[int]:
    """Return the calls that may come next: those begun before any call that is not placed has ended."""
    open_calls = [at for at in range(len(calls)) if not placed >> at & 1]
    first_end = min((calls[at].end for at in open_calls if not calls[at].pending), default=None)
    return [at for at in reversed(open_calls) if first_end is None or calls[at].begin < first_end]


def same(one: object, other: object) -> bool:
    """Say whether two outcomes are the same; classes of exceptions by descent."""
    if isinstance(one, type) and isinstance(other, type):
        return issubclass(other, one)
    return bool(one == other)
