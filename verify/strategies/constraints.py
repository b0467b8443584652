"""Reads-from constraints: who is to read from whom, as state machines that a scheduler asks at each step.

An *event* is an operation as any task may make it in any execution: its kind, the object it is on without the
name of the task that made it, how often (modulo `ROUNDS`) the task has made it before, and what the task did last.
A constraint speaks of a reader and a writer, which is None for what was there at the start; `positive` says that the
reader is to read from this writer, else that it is to read from any other. The last writer of a lock is who took it
last, so that the order in which a lock is taken is a matter of constraints too.

Promises: constraints are soft. They sort pending operations into `AVOID`, `NEUTRAL` and `TAKE`; where everything
is to be avoided something runs all the same, and a constraint that had to be held against for long is given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from verify.strategies.dependence import APART, READS, role_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from verify.abc import TaskView

ROUNDS = 8
AVOID, NEUTRAL, TAKE = -1, 0, 1
WAITING, WRITTEN, OVER = range(3)
SILENT = frozenset(
    {"Lock.release", "RLock.release", "Semaphore.release", "Condition.wait", "Thread.join"}
)
"""Operations that say nothing of who comes before whom: another one of the same object does."""


class Event(NamedTuple):
    """An operation, whoever makes it."""

    op: str
    role: str
    round: int
    after: str = ""

    @property
    def text(self) -> str:
        """What an event that comes after it in its task is told apart by."""
        return f"{self.op} {self.role} {self.round}"

    @property
    def reads(self) -> bool:
        """Whether it sees what was there before it."""
        return self.op != "write"

    @property
    def writes(self) -> bool:
        """Whether a later one sees it."""
        return self.op not in READS


class Constraint(NamedTuple):
    """`reader` reads from `writer` (None: from the start), or, not `positive`, from any other."""

    reader: Event
    writer: Event | None
    positive: bool = True


class Live:
    """One constraint during one execution, with the state that it is in."""

    __slots__ = ("constraint", "since", "state")

    def __init__(self, constraint: Constraint) -> None:
        self.constraint = constraint
        self.state = WRITTEN if constraint.writer is None else WAITING
        self.since = -1

    def advice(self, event: Event) -> int:
        """Return where `event` belongs, which is the reader or a writer of its object.

        | state   | positive: reader | writer  | other writes | negative: reader | others  |
        |---------|------------------|---------|--------------|------------------|---------|
        | WAITING | avoid            | take    | neutral      | neutral          | neutral |
        | WRITTEN | take             | neutral | avoid        | avoid            | neutral |
        | OVER    | neutral          | neutral | neutral      | neutral          | neutral |
        """
        reader, writer, positive = self.constraint
        if self.state == OVER:
            return NEUTRAL
        if not positive:
            return AVOID if event == reader and self.state == WRITTEN else NEUTRAL
        if self.state == WAITING:
            if event == writer:
                return TAKE
            return AVOID if event == reader else NEUTRAL
        if event == reader:
            return TAKE
        return NEUTRAL if event == writer else AVOID

    def happened(self, event: Event) -> None:
        """`event`, the reader or a write of its object, took effect."""
        if self.state == OVER:
            return
        if event == self.constraint.reader:
            self.state = OVER
        elif event == self.constraint.writer:
            self.state = WRITTEN
        elif self.constraint.writer is None:
            self.state = OVER
        else:
            self.state = WAITING


class Constraints:
    """The constraints of one execution: advice on pending operations, and what has been read from whom."""

    def __init__(self, wanted: Iterable[Constraint], patience: int) -> None:
        self.patience = patience
        self.by_role: dict[str, list[Live]] = {}
        for constraint in wanted:
            self.by_role.setdefault(constraint.reader.role, []).append(Live(constraint))
        self.counts: dict[tuple[int, str, str], int] = {}
        self.pending: dict[int, tuple[str, object, Event | None]] = {}
        self.before: dict[int, str] = {}
        self.seen: dict[Event, None] = {}
        self.last: dict[object, Event] = {}
        self.pairs: dict[tuple[Event | None, Event], None] = {}
        self.users: dict[str, int] = {}
        self.shared: dict[str, None] = {}
        self.steps = 0

    def event_of(self, task: TaskView) -> Event | None:
        """Return a task's pending operation as an event; None if it tells nothing."""
        op, target = task.op, task.target
        known = self.pending.get(task.index)
        if known is not None and known[0] is op and known[1] is target:
            return known[2]
        event = None
        if op not in APART and op not in SILENT:
            role = role_of(target)
            done = self.counts.get((task.index, op, role), 0)
            event = Event(op, role, done % ROUNDS, self.before.get(task.index, ""))
        self.pending[task.index] = op, target, event
        return event

    def advice(self, task: TaskView) -> int:
        """Return where a task's pending operation belongs: what any constraint avoids is avoided."""
        event = self.event_of(task)
        if event is None:
            return NEUTRAL
        found = NEUTRAL
        for live in self.by_role.get(event.role, ()):
            if event.writes or event == live.constraint.reader:
                said = live.advice(event)
                if said == AVOID:
                    if live.since < 0:
                        live.since = self.steps
                    if self.steps - live.since <= self.patience:
                        return AVOID
                    live.state = OVER
                elif said == TAKE:
                    found = TAKE
        return found

    def happened(self, task: TaskView, key: object) -> None:
        """A task's operation takes effect; `key` is its object in this execution."""
        self.steps += 1
        event = self.event_of(task)
        self.pending.pop(task.index, None)
        if event is None:
            return
        role = event.role
        place = task.index, event.op, role
        self.counts[place] = self.counts.get(place, 0) + 1
        self.before[task.index] = event.text
        self.seen[event] = None
        if self.users.setdefault(role, task.index) != task.index:
            self.shared[role] = None
        if event.reads:
            self.pairs[self.last.get(key), event] = None
        if event.writes:
            self.last[key] = event
        for live in self.by_role.get(role, ()):
            if event.writes or event == live.constraint.reader:
                live.happened(event)
