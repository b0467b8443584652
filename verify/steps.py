"""The steps of an execution, and what each read and wrote: a listener's log, and its reading.

Promises: a step is what one task does from one scheduling point to the next. It holds the operation at its beginning,
a task's beginning or the end of a timed wait; with it whatever no operation names: a task's end, timers, clock reads,
threads made, finalizers run. What is said of a step is the same in every execution in which the task has done the same
and has seen the same, so an unfinished execution's log is a beginning of the finished one's.

The log is plain values, written on the way (one tuple an operation) and read afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from verify.abc import (
    ALL,
    ASIDES,
    BEGIN,
    CLOCK,
    DRAW,
    FINISHED,
    HALT,
    INTERRUPT,
    NUMBERS,
    ON_WAKING,
    PIN,
    SPAWN,
    TIMEOUT,
    UNCONTROLLED,
    UNPIN,
    WATCHED,
    Detector,
)  # fmt: skip
from verify.dependence import NUMBERING, TIME, TRIES, WAIT, WAITS, WAKE, accesses
from verify.dependence import TIMEOUT as LATE

if TYPE_CHECKING:
    from verify.abc import ExecutionView, TaskView
    from verify.dependence import Access, Key

    Entry = tuple[int, str, Key, int]

FAILED = "failed"
_ASIDES = frozenset({*ASIDES, FAILED})
_SIGNALS = frozenset({INTERRUPT, UNCONTROLLED, WATCHED})
_ENDS = frozenset({SPAWN, FINISHED})
_SWEEPING = frozenset({PIN, ALL})
_BEGINNINGS = frozenset({BEGIN, TIMEOUT})
_BELOW = (NUMBERS // CLOCK) - 1
SECOND_HALF = {WAIT: WAKE}


class Step:
    """One step of task number `task`.

    `ops` are its operations, the first of which the task chose to do; `everything` says that it depends on every other
    step; `waits` that its operation may have had to wait. `begins` is where in the log it begins. `past` is a bit set:
    the steps that happen before this one.
    """

    __slots__ = ("accesses", "begins", "everything", "ops", "past", "task", "values", "waits")

    def __init__(self, task: int, op: str, own: tuple[Access, ...] | None, begins: int) -> None:
        self.task = task
        self.ops: tuple[str, ...] = (op,)
        self.everything = own is None
        self.accesses: tuple[Access, ...] = own or ()
        self.waits = op in WAITS
        self.begins = begins
        self.past = 0
        self.values: tuple[int, ...] = ()

    def touch(self, key: Key, *, write: bool = True) -> None:
        """Take one more access in."""
        if (key, write) not in self.accesses:
            self.accesses = (*self.accesses, (key, write))

    def failed(self) -> None:
        """Its operation came to nothing: it has only read."""
        if self.ops[-1] in TRIES:
            first, *others = self.accesses
            self.accesses = ((first[0], False), *others)


class Standing(NamedTuple):
    """A task at the end of an execution: the step it would have made next, and whether it could."""

    step: Step
    able: bool


class StepLog(Detector):
    """Writes the log of each execution.

    `standing` are the tasks that its end cut short, `daemons` says whether there was one that it may cut short, and
    `outside` holds what came from outside the schedule, or looks at it from there.
    """

    name = "steps"

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.values: list[int] = []
        self.standing: list[Standing] = []
        self.paths: list[str] = []
        self.halted = False
        self.last = 0
        self.daemons = False
        self.execution: ExecutionView | None = None
        self.outside: set[str] = set()

    @property
    def unseen(self) -> int:
        """The execution's count of now, at its end the last one."""
        return self.last if self.execution is None else self.execution.unseen

    def start(self, execution: ExecutionView) -> None:
        """Begin a new log."""
        self.execution = execution
        self.entries = []
        self.values = []
        self.standing = []
        self.paths = []
        self.halted = False
        self.daemons = False
        self.outside = set()

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Write an operation."""
        if not self.halted:
            self.entries.append((task.index, op, getattr(target, "key", target), execution.unseen))

    def outcome(
        self, execution: ExecutionView, task: TaskView, op: str, target: object, *, result: bool
    ) -> None:
        """Write that an operation failed."""
        del op, target
        if not (result or self.halted):
            self.entries.append((task.index, FAILED, None, execution.unseen))

    def aside(self, execution: ExecutionView, task: TaskView, what: str) -> None:
        """Write what is no operation."""
        if self.halted:
            return
        if what in _SIGNALS:
            self.outside.add(what)
            return
        if what == HALT:
            self._halt(execution)
        elif what == SPAWN:
            self.paths.append(task.path)
            self.daemons = self.daemons or task.daemon
        elif what == DRAW:
            self.values.append(execution.choices[-1] if execution.choices else 0)
        self.entries.append(
            (task.index, what, getattr(task.target, "key", task.target), execution.unseen)
        )

    def _halt(self, execution: ExecutionView) -> None:
        waiting = self._parked()
        for task in execution.tasks:
            if task.done:
                continue
            op = SECOND_HALF.get(task.op, task.op) if task.index in waiting else task.op
            own = accesses(op, getattr(task.target, "key", task.target))
            able = task.runnable or task.deadline is not None
            step = Step(task.index, op, own, len(self.entries))
            if task.deadline is not None:
                step.touch(TIME)
                if op == WAKE:
                    step.touch(step.accesses[0][0])
            self.standing.append(Standing(step, able))
        self.halted = True
        self.last = execution.unseen
        self.execution = None

    def _parked(self) -> set[int]:
        """The tasks that are in the second half of a wait on a condition."""
        last = {entry[0]: entry[1] for entry in self.entries if entry[1] not in _ASIDES}
        return {task for task, op in last.items() if op == WAIT}


class Steps:
    """Reads a log, as far as it goes, into steps; what is read already is not read again."""

    def __init__(self) -> None:
        self.list: list[Step] = []
        self.born: dict[int, int] = {}
        self.read = 0
        self.unseen = 0
        self.pinned = False
        self.drawn = 0

    def cut(self, count: int) -> None:
        """Forget all steps but the first `count`."""
        if count >= len(self.list):
            return
        self.read = self.list[count].begins
        del self.list[count:]
        self.born = {child: at for child, at in self.born.items() if at < count}
        self.drawn = sum(len(step.values) for step in self.list)
        self.pinned = False
        self.unseen = -1  # unknown: the entry before tells

    def take(self, log: StepLog) -> None:
        """Read on to the end of the log."""
        entries = log.entries
        if self.unseen < 0:
            self.unseen = entries[self.read - 1][3] if self.read else 0
        for at in range(self.read, len(entries)):
            task, what, key, unseen = entries[at]
            if unseen != self.unseen:
                self._tail(unseen - self.unseen)
            if what not in _ASIDES or what in _BEGINNINGS:
                self._begin(at, task, what, key)
            else:
                self._add(at, task, what, log)
            if unseen != self.unseen:
                if (unseen - self.unseen) // ON_WAKING:
                    self.list[-1].touch(TIME)
                    self.list[-1].waits = True  # for its turn among the timers
                self.unseen = unseen
        self.read = len(entries)
        now = log.unseen
        if now != self.unseen:  # the last step has ended, and nothing else has begun
            self._tail(now - self.unseen)
            self.unseen = now

    def _tail(self, touched: int) -> None:
        """What the step that ends here has touched besides."""
        if not self.list:
            return
        if touched & _BELOW:
            self.list[-1].touch(TIME)
        if touched // NUMBERS & _BELOW:
            self.list[-1].touch(NUMBERING)

    def _begin(self, at: int, task: int, what: str, key: Key) -> None:
        op = LATE if what == TIMEOUT else what
        own = accesses(op, key)
        if self.list and self._goes_on(task, op):
            step = self.list[-1]
            step.ops = (*step.ops, op)
            for thing, write in own or ():
                step.touch(thing, write=write)
            return
        step = Step(task, op, own, at)
        if what == TIMEOUT and isinstance(key, tuple):
            step.accesses = ((key[0], True),)
        self.list.append(step)

    def _goes_on(self, task: int, op: str) -> bool:
        last = self.list[-1]
        return self.pinned or (op == WAKE and last.task == task and last.ops[-1] == LATE)

    def _add(self, at: int, task: int, what: str, log: StepLog) -> None:
        if not self.list or (what == PIN and self.list[-1].task != task):
            if what != PIN:
                return  # the main task is made and nothing has run
            self.list.append(Step(task, PIN, None, at))
        step = self.list[-1]
        if what in _ENDS:
            step.touch(-1 - task)
        if what == SPAWN:
            self.born[task] = len(self.list) - 1
        elif what in _SWEEPING:
            step.everything = True
        elif what == FAILED:
            step.failed()
        elif what == DRAW:
            step.values = (*step.values, log.values[self.drawn])
            self.drawn += 1
        self.pinned = (self.pinned and what != UNPIN) or what == PIN
