"""The four questions one has of a run that failed, answered in lines of text with the steps they speak of.

Who waits, who holds what, which switch decided, what would have saved it. Promises: nothing is said that the trace
does not hold; where nobody sampled what decides, that is said.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final

from traces.printing import counted, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traces.explanation import Event, Order
    from traces.html.shell import Json
    from traces.schema import Trace
    from traces.text import Titles
    from traces.turning import Turning

    Line = tuple[str, int | None]

__all__ = ["answers", "decided"]

MOST: Final = 40
STANDING: Final = frozenset({"blocked", "timed wait"})


def answers(trace: Trace, titles: Titles) -> Json:
    """Return the questions, each with lines `[text, step or -1]`."""
    asked = [
        ("Who waits at the end", _waiting(trace, titles)),
        ("Who holds what at the end", _holding(trace, titles)),
    ]
    if trace.failure is not None:
        asked.append(("Which switch decided", _deciding(trace, titles)))
        asked.append(("What would have saved it", _saving(trace, titles)))
    return [[question, _kept(list(lines))] for question, lines in asked]


def _kept(lines: list[Line]) -> Json:
    shown: list[Line] = lines[:MOST]
    if len(lines) > MOST:
        shown.append((f"and {len(lines) - MOST} more: see the threads below", None))
    return [[text, -1 if step is None else step] for text, step in shown]


def _waiting(trace: Trace, titles: Titles) -> Iterator[Line]:
    since = (
        {wait.task: wait.first for wait in trace.scene.waits if wait.last is None}
        if trace.scene
        else {}
    )
    standing = [task for task in trace.tasks if task.state in STANDING and task.waits_for]
    for task in standing:
        yield f"{titles.task(task.path)}: {titles.object(task.waits_for)}", since.get(task.path)
    if not standing:
        yield "nobody", None


def _holding(trace: Trace, titles: Titles) -> Iterator[Line]:
    if trace.scene is not None:
        held = [
            (f"{titles.task(hold.task)}: {titles.object(hold.lock)}", hold.first)
            for hold in sorted(trace.scene.holds, key=lambda hold: hold.first)
            if hold.last is None
        ]
        yield from held
    else:
        held = [
            (f"{titles.task(task.path)}: {titles.object(lock.name)}", -1)
            for task in trace.tasks
            for lock in task.held
        ]
        yield from ((text, None) for text, _ in held)
    if not held:
        yield "nobody holds a lock", None


def decided(trace: Trace, order: Order) -> int | None:
    """Return the step with which the stretch begins that brings the order about, None where none is recorded."""
    at = order.before.step
    if at is None or at >= len(trace.steps):
        return None
    while at and trace.steps[at - 1].task == trace.steps[at].task:
        at -= 1
    return at


def _deciding(trace: Trace, titles: Titles) -> Iterator[Line]:
    found = trace.explanation
    if found is not None and found.critical is not None:
        order = found.orders[found.critical]
        at = decided(trace, order)
        if at is not None:
            yield f"to {titles.task(order.before.task)}{_kind(trace, at)}", at
        yield f"so that {_before(order.before, order.after, titles)}", order.before.step
    if trace.turning is not None:
        yield from _turned(trace.turning, trace, titles)
    elif found is None or found.critical is None:
        yield from _last(trace, titles)


def _turned(turning: Turning, trace: Trace, titles: Titles) -> Iterator[Line]:
    at = turning.step
    yield f"{titles.task(turning.task)} goes on{_kind(trace, at)}: {_what(trace, at, titles)}", at
    share = f"{turning.failing} of {counted(turning.sampled, 'sampled schedule')}"
    yield f"{share} that go so far fail in this way", None


def _kind(trace: Trace, at: int) -> str:
    if trace.steps[at].switch:
        return ", a preemption"
    return "" if at and trace.steps[at - 1].task == trace.steps[at].task else ", a switch"


def _what(trace: Trace, at: int, titles: Titles) -> str:
    step = trace.steps[at]
    return f"{plain(step.op)} {titles.object(step.object)}".rstrip()


def _last(trace: Trace, titles: Titles) -> Iterator[Line]:
    """Yield what is known without samples."""
    yield "not sampled; the last preemption and switch are", None
    preempted = [step.index for step in trace.steps if step.switch]
    switches = [b.index for a, b in pairwise(trace.steps) if a.task != b.task]
    for name, steps in (("preemption", preempted), ("switch", switches)):
        if steps:
            at = steps[-1]
            yield f"{name} to {titles.task(trace.steps[at].task)}: {_what(trace, at, titles)}", at


def _saving(trace: Trace, titles: Titles) -> Iterator[Line]:
    found, turning = trace.explanation, trace.turning
    necessary = [order for order in found.orders if order.necessary] if found is not None else []
    for order in necessary:
        fails = f"0 of {counted(order.reversed, 'sampled schedule')} then fail"
        yield f"{_before(order.after, order.before, titles)} ({fails})", order.before.step
    if turning is not None and turning.instead:
        yield f"{titles.task(turning.instead)} going on there instead", turning.step
        share = f"{turning.passing} of {counted(turning.others, 'sampled schedule')}"
        yield f"{share} then end well, {turning.others_failing} fail in this way", None
    elif not necessary:
        yield "not sampled: no order is known that would", None


def _before(one: Event, other: Event, titles: Titles) -> str:
    """Return who comes first, with the operation told once where both do the same."""
    if (one.op, one.object) == (other.op, other.object):
        return f"{titles.task(one.task)} before {titles.task(other.task)}: {_does(one, titles)}"
    first, second = (f"{titles.task(e.task)}: {_does(e, titles)}" for e in (one, other))
    return f"{first} before {second}"


def _does(event: Event, titles: Titles) -> str:
    return f"{plain(event.op)} {titles.object(event.object)}".rstrip()
