"""Executions as the checker sees them: every operation with what it touches, every choice with its alternatives.

Promises: `Follow` makes exactly the choices of a certificate and notes how many there were each time; `Guide` lets
tasks take their next operation in a given order, to see whether that can be done. Neither takes anything from a
strategy. `Watch` writes down the operations of either run.
Assumes: between two operations a task runs alone, so an execution is the order of its operations.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from verify.abc import (
    BEGIN,
    FINISHED,
    HALT,
    NUMBERS,
    ON_WAKING,
    SPAWN,
    TIMEOUT,
    Detector,
    ScheduleMismatchError,
    name_of,
)
from verify.abc import DRAW as DREW
from verify.certificate.footprint import (
    MAY_FAIL,
    NEEDS_FREE,
    NUMBERING,
    TIME,
    Place,
    end_of,
    footprint,
    gives_up,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import ExecutionView, T, TaskView
    from verify.certificate.footprint import Footprint

DRAW = "draw"


class Event(NamedTuple):
    """One operation of one task, or a value that it drew (`op` is `DRAW`, `value` below `bound`).

    `kind` is what the operation was on, by kind alone: the same in every execution. `after` is the place in the
    execution of the operation that made the task, for the first operation of a task, else -1. What is `timed` may
    fail, or end by itself, where it would otherwise have to wait.
    """

    task: str
    op: str
    kind: str
    touches: Footprint
    after: int = -1
    gives_up: bool = False
    timed: bool = False
    value: int = 0
    bound: int = 0

    @property
    def needs_free(self) -> bool:
        """Whether it takes a lock, and so cannot come just before that lock is given up."""
        return self.op in NEEDS_FREE and not self.timed


class Alternatives(NamedTuple):
    """A choice: how many tasks (or values) there were, what each costs in preemptions, and the number of the first."""

    total: int
    costs: tuple[int, ...]
    first: int


@dataclass(slots=True)
class Run:
    """One complete execution. `pending` are the next operations of the tasks that the end cut off."""

    choices: tuple[int, ...] = ()
    events: list[Event] = field(default_factory=list)
    pending: list[Event] = field(default_factory=list)
    alternatives: list[Alternatives] = field(default_factory=list)
    daemons: frozenset[str] = frozenset()
    unknown: str = ""
    wrong: str = ""


class Watch(Detector):
    """Writes down one execution: its operations, and beside them whatever the runtime tells that is none."""

    name = "certificate"

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.pending: list[Event] = []
        self.daemons: set[str] = set()
        self.unknown = ""
        self.bound = 0
        self._last_of: dict[str, int] = {}
        self._made_by: dict[str, int] = {}
        self._unseen = 0
        self._halted = False
        self._execution: ExecutionView | None = None

    def start(self, execution: ExecutionView) -> None:
        """Remember what to look at when there is no event."""
        self._execution = execution

    def stop(self) -> None:
        """See the last step to its end; what comes now is the taking down."""
        if self._execution is not None and not self._halted:
            self._see(self._execution)
            self._halted = True

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Append the operation."""
        if not self._halted:
            self._append(execution, self._event(task, op, target))

    def outcome(
        self, execution: ExecutionView, task: TaskView, op: str, target: object, *, result: bool
    ) -> None:
        """What can fail is not bound to wait; what failed has only read."""
        del execution
        if self._halted:
            return
        at = self._last_of[task.path]
        self.events[at] = self.events[at]._replace(timed=True)
        if not result and op in MAY_FAIL:
            kept = [place for place in self.events[at].touches if place.key == TIME]
            read = footprint(op, target, failed=True) or ()
            self.events[at] = self.events[at]._replace(touches=(*read, *kept))

    def aside(self, execution: ExecutionView, task: TaskView, what: str) -> None:
        """Note a task that begins or ends, a value drawn, a wait that ends by time, the end of it all."""
        if self._halted:
            return
        if what == SPAWN:
            self._made_by[task.path] = self._last_of.get(task.path.rpartition("/")[0], -1)
            if task.daemon:
                self.daemons.add(task.path)
        elif what == FINISHED:
            self._touch(self._last_of.get(task.path), end_of(task.path))
        elif what in {BEGIN, TIMEOUT}:
            touches = () if what == BEGIN else (Place(name_of(task.target), write=True),)
            self._append(execution, self._plain(task.path, what, touches))
        elif what == DREW:
            value = execution.choices[-1]
            made = self._plain(task.path, DRAW, ())._replace(value=value, bound=self.bound)
            self._append(execution, made)
        elif what == HALT:
            self._see(execution)
            self.pending = [self._next(each) for each in execution.tasks if not each.done]
            self._halted = True
        else:
            self.unknown = self.unknown or f"{what} in {task.path}"

    def _append(self, execution: ExecutionView, event: Event) -> None:
        if self._see(execution):
            event = event._replace(touches=(*event.touches, Place(TIME, write=True)))
        self._last_of[event.task] = len(self.events)
        self.events.append(event)

    def _see(self, execution: ExecutionView) -> bool:
        """Enter what the last step touched besides its operation; return whether the next one has moved the clock."""
        new = execution.unseen - self._unseen
        self._unseen = execution.unseen
        last = len(self.events) - 1 if self.events else None
        if new % NUMBERS:
            self._touch(last, TIME)
        if new % ON_WAKING // NUMBERS:
            self._touch(last, NUMBERING)
        return new >= ON_WAKING

    def _touch(self, at: int | None, key: str) -> None:
        if at is not None:
            event = self.events[at]
            self.events[at] = event._replace(touches=(*event.touches, Place(key, write=True)))

    def _event(self, task: TaskView, op: str, target: object) -> Event:
        touches = footprint(op, target)
        if touches is None:
            self.unknown = self.unknown or f"{op} in {task.path}"
            touches = ()
        event = self._plain(task.path, op, touches)
        return event._replace(kind=_kind(target), gives_up=gives_up(op, target))

    def _plain(self, path: str, op: str, touches: Footprint) -> Event:
        after = -1 if path in self._last_of else self._made_by.get(path, -1)
        return Event(path, op, "", touches, after)

    def _next(self, task: TaskView) -> Event:
        """The operation that a task stands before; in the middle of a wait it is waking up."""
        op = task.op
        at = self._last_of.get(task.path)
        if op == "Condition.wait" and at is not None and self.events[at].op == op:
            op = "Condition.wake"
        event = self._event(task, op, task.target)
        if task.deadline is not None:
            touches = (*event.touches, Place(TIME, write=True))
            event = event._replace(touches=touches, timed=True)
        return event


def _kind(target: object) -> str:
    kind = getattr(target, "KIND", None)
    if isinstance(kind, str):
        return kind
    whole = getattr(target, "object", None)
    return whole.rpartition(":")[2].partition("#")[0] if isinstance(whole, str) else ""


class Follow:
    """Makes the given choices, in order, and stops where they do not fit."""

    name = "certificate"

    def __init__(self, choices: Sequence[int]) -> None:
        self.choices = choices
        self.listener = Watch()
        self.alternatives: list[Alternatives] = []
        self.yields: dict[str, int] = {}

    def new_execution(self) -> bool:
        """Allow the one execution."""
        return True

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Return the task that the next choice names."""
        stays = current in enabled and current.runnable and not current.done
        others = [task for task in enabled if not (stays and task is current)]
        self.alternatives.append(self._costs(others, current, stays=stays))
        choice = self._next()
        if choice == 0 and stays:
            return current
        if 1 <= choice <= len(others):
            return others[choice - 1]
        raise ScheduleMismatchError(
            f"choice {len(self.alternatives)} is {choice}, but there are {len(others)} other tasks"
        )

    def _costs(self, others: Sequence[T], current: T, *, stays: bool) -> Alternatives:
        """What each alternative costs: one where the task that ran could go on, or a timer overtakes a task.

        Who gave way gives way to the next in turn; anybody else then costs one.
        """
        order = [current, *others] if stays else list(others)
        gave_way = self.yields.get(current.path, 0) != current.yields
        self.yields[current.path] = current.yields
        ready = any(task.runnable for task in order)
        if gave_way:
            turn = min(order, key=lambda task: _turn(task, current))
            costs = [int(task is not turn) for task in order]
        elif stays:
            costs = [int(task is not current) for task in order]
        else:
            costs = [int(ready and not task.runnable) for task in order]
        return Alternatives(len(order), tuple(costs), 0 if stays else 1)

    def draw(self, bound: int) -> int:
        """Return the next value."""
        self.alternatives.append(Alternatives(bound, (0,) * bound, 0))
        self.listener.bound = bound
        return self._next()

    def _next(self) -> int:
        at = len(self.alternatives) - 1
        if at >= len(self.choices):
            raise ScheduleMismatchError(f"the program asks for choice {at + 1}; there are {at}")
        return self.choices[at]


def _turn(task: TaskView, current: TaskView) -> tuple[bool, bool, bool, int]:
    """Who is next in turn after `current` comes first: ready tasks, those behind it, then from the front."""
    behind = task.index > current.index
    return task is current, not task.runnable, not behind, task.index


class ReachedError(ScheduleMismatchError):
    """The run has come to where it was to be seen; ends it without a finding."""


class Guide:
    """Lets tasks take their steps in the order of `steps`, then `last` one more, and looks no further.

    `taken` are the steps as they were, if all could be taken.
    """

    name = "certificate"

    def __init__(self, steps: Sequence[Event], last: str) -> None:
        self.wanted = [*(step.task for step in steps), last]
        self.steps = steps
        self.listener = Watch()
        self.stopped = False

    def new_execution(self) -> bool:
        """Allow the one execution."""
        return True

    def taken(self) -> list[Event] | None:
        """All the steps, None when one of them could not be taken; asked after the run."""
        seen = self.listener.events[: len(self.wanted)]
        return seen if [event.task for event in seen] == self.wanted else None

    def choose(self, enabled: Sequence[T], _current: T) -> T:
        """Return the task that has the next step; stop where it cannot take it."""
        at = len(self.listener.events)
        if at < len(self.wanted) and not self.stopped:
            for task in enabled:
                if task.path == self.wanted[at]:
                    return task
        self.stopped = True
        self.listener.stop()
        raise ReachedError

    def draw(self, bound: int) -> int:
        """Return the value that was drawn here, else 0."""
        self.listener.bound = bound
        at = len(self.listener.events)
        return min(self.steps[at].value, bound - 1) if at < len(self.steps) else 0
