"""The events of a run, by names that hold in other schedules, and the orders between them that it shows.

Promises: an event is the n-th time that a task does an operation to an object, the object named without the task that
came to it first; it means the same in every schedule in which its task gets that far. `Orders.found` are the pairs of
conflicting operations of two tasks, the first before the second, less those that follow from others, from the order
within tasks, and from starting and joining threads: all runs that keep them are the same run but for the order of
independent operations (Mazurkiewicz; clocks after Mattern). What comes after the failure counts as after all that came
before it, and in no order of its own: what a task stands before when the run ends, and, where the failure is an
exception and the run is let go on, what the tasks do then.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from verify.abc import Detector
from verify.detectors.ordering import join
from verify.runtime.task import Task
from verify.strategies.dependence import APART, READS, key_of, role_of

if TYPE_CHECKING:
    from verify.abc import ExecutionView, TaskView
    from verify.runtime.execution import Execution

    Span = tuple[int, int] | None

CLOCKLESS: dict[str, int] = {}
MOST_STEPS = 1_000_000
TAKES = frozenset({"Lock.acquire", "Lock.try_acquire", "RLock.acquire", "RLock.try_acquire"})
RELEASES = frozenset({"Lock.release", "RLock.release"})
MOST_FUTURE = 2000
"""Operations after the failure that are taken in."""


class Event(NamedTuple):
    """The `nth` time (from 0) that `task` (a path) does `op` to the object of the role `role`."""

    task: str
    op: str
    role: str
    nth: int


class Order(NamedTuple):
    """`before` takes effect before `after`."""

    before: Event
    after: Event

    @property
    def reversed(self) -> Order:
        """The other order of the two."""
        return Order(self.after, self.before)


class Counter:
    """Counts what each task has done, so that its pending operation has a name."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str, str], int] = {}

    def pending(self, task: TaskView) -> Event | None:
        """Return a task's pending operation as an event; None if it is on nothing that another task could change."""
        op = task.op
        if op in APART:
            return None
        role = role_of(task.target)
        return Event(task.path, op, role, self.counts.get((task.path, op, role), 0))

    def happened(self, task: TaskView) -> Event | None:
        """Count a task's operation, which takes effect."""
        event = self.pending(task)
        if event is not None:
            self.counts[event[:3]] = event.nth + 1
        return event


@dataclass(slots=True)
class _Seen:
    """An event where it happened: on what part of its object, and which events of each task are before it."""

    event: Event
    span: Span
    epoch: int
    clock: dict[str, int] = field(default_factory=dict)

    def conflicts(self, other: _Seen) -> bool:
        if self.event.op in READS and other.event.op in READS:
            return False
        one, two = self.span, other.span
        return one is None or two is None or (one[0] < two[1] and two[0] < one[1])


class Orders(Detector):
    """Listens to one run; `found` are the orders it shows, `places` when its events were.

    An order of a lock's release before its next acquisition is one of the two acquisitions, which says the same and can
    be waited for. Operations from `limit` on are the future. `snapshot`, as the session's `on_stop`, takes in what the
    tasks stand
    before when the run ends.
    """

    name = "orders"

    def __init__(self, limit: int = MOST_STEPS) -> None:
        self.limit = limit
        self.counter = Counter()
        self.found: list[Order] = []
        self.places: dict[Event, int] = {}
        self.steps = 0
        self.objects: dict[str, list[_Seen]] = {}
        self.clocks: dict[str, dict[str, int]] = {}
        self.born: dict[int, dict[str, int]] = {}
        self.last_take: dict[tuple[str, str], Event] = {}
        self.taken: dict[Event, Event] = {}

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Take in one operation."""
        self.steps += 1
        if self.steps > self.limit + MOST_FUTURE:
            return
        clock = self._clock(task)
        if op == "Thread.start":
            self.born[len(execution.tasks)] = dict(clock)
        elif op == "Thread.join":
            join(clock, self.clocks.get(getattr(target, "path", ""), CLOCKLESS))
        event = self.counter.happened(task)
        if event is not None:
            self._pair(event)
            self._see(event, target, clock)

    def _pair(self, event: Event) -> None:
        """Know which acquisition a release of a lock ends."""
        place = event.task, event.role
        if event.op in RELEASES and place in self.last_take:
            self.taken[event] = self.last_take[place]
        elif event.op in TAKES:
            self.last_take[place] = event

    def raised(self, execution: ExecutionView, task: TaskView, exception: BaseException) -> None:
        """Let the run go on after an exception, and nobody print it."""
        del execution, exception
        if isinstance(task, Task):
            task.excepthook = None

    def snapshot(self, execution: Execution) -> None:
        """Take in what the tasks stand before at the end."""
        self.limit = min(self.limit, self.steps)
        for task in execution.tasks:
            event = None if task.done else self.counter.pending(task)
            if event is not None:
                self.steps += 1
                self._see(event, task.target, dict(self._clock(task)))

    def _clock(self, task: TaskView) -> dict[str, int]:
        clock = self.clocks.get(task.path)
        if clock is None:
            clock = self.clocks[task.path] = self.born.get(task.index, {})
        return clock

    def _see(self, event: Event, target: object, clock: dict[str, int]) -> None:
        self.places[event] = self.steps
        seen = _Seen(event, _span(target), clock.get(event.task, 0) + 1)
        past = self.objects.setdefault(key_of(target), [])
        for other in reversed(past):
            path = other.event.task
            known = path == event.task or other.epoch <= clock.get(path, 0)
            if not known and seen.conflicts(other):
                self.found.append(Order(self.taken.get(other.event, other.event), event))
                join(clock, other.clock)
        if self.steps <= self.limit:
            clock[event.task] = seen.epoch
            seen.clock = dict(clock)
            past.append(seen)


def _span(target: object) -> Span:
    lo, hi = getattr(target, "lo", None), getattr(target, "hi", None)
    return (lo, hi) if isinstance(lo, int) and isinstance(hi, int) and hi else None
