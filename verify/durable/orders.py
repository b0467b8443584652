"""The orders that a recorded failure needs, between marks that survive edits.

Promises: with an explanation they are its orders, less those that speak of what the run did not come to; without one,
those of the operations that two threads did, or stood before at the end, to one object one after the other: all hold in
the recorded run, and not all need be necessary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from verify.strategies.dependence import APART, READS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from traces.anchors import Anchors, Mark
    from traces.explanation import Event
    from traces.schema import Step, Trace

MOST_ORDERS = 64
SILENT = frozenset({"Lock.release", "RLock.release", "Thread.join"})
"""Operations that say nothing of who comes before whom: another one of the same object does."""


class Order(NamedTuple):
    """`before` takes effect before `after`."""

    before: Mark
    after: Mark


def needed(trace: Trace, anchors: Anchors) -> list[Order]:
    """Return the orders that make the run fail, as far as they are known."""
    marks = anchors.marks()
    explained = list(_explained(trace, anchors, marks))
    if explained or (trace.explanation is not None and not trace.explanation.orders):
        return explained
    return [*_shown(trace.steps, marks), *_stood_before(anchors, marks)][-MOST_ORDERS:]


def _explained(trace: Trace, anchors: Anchors, marks: Sequence[Mark]) -> Iterator[Order]:
    for order in trace.explanation.orders if trace.explanation is not None else ():
        before = _mark(order.before, anchors, marks)
        after = _mark(order.after, anchors, marks)
        if before is not None and after is not None:
            yield Order(before, after)


def _mark(event: Event, anchors: Anchors, marks: Sequence[Mark]) -> Mark | None:
    if event.step is not None:
        return marks[event.step] if event.step < len(anchors.steps) else None
    for mark in marks[len(anchors.steps) :]:
        same = anchors.tracks[mark.track].path == event.task
        if same and anchors.places[mark.place].op == event.op:
            return mark
    return None


def _shown(steps: Sequence[Step], marks: Sequence[Mark]) -> Iterator[Order]:
    last: dict[str, tuple[Step, Mark]] = {}
    for step, mark in zip(steps, marks, strict=False):
        if step.op in APART or step.op in SILENT:
            continue
        before = last.get(step.object)
        last[step.object] = step, mark
        if before is None or before[0].task == step.task:
            continue
        if step.op not in READS or before[0].op not in READS:
            yield Order(before[1], mark)


def _stood_before(anchors: Anchors, marks: Sequence[Mark]) -> Iterator[Order]:
    """Yield, for what each thread stood before at the end, the order with the last such operation of another one."""
    done = marks[: len(anchors.steps)]
    for mark in marks[len(anchors.steps) :]:
        place = anchors.places[mark.place]
        if place.op in APART or place.op in SILENT:
            continue
        for other in reversed(done):
            before = anchors.places[other.place]
            if (before.op, before.object, before.made) == (place.op, place.object, place.made):
                if other.track != mark.track:
                    yield Order(other, mark)
                break
