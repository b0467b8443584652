"""queue.Queue and its subclasses, and SimpleQueue: two gates, "not empty" and "not full".

Promises: put and get are atomic; a subclass's `_init`, `_put`, `_get` and `_qsize` are used, so
LifoQueue, PriorityQueue and a user's own kinds behave as they do outside. Results and errors are
CPython's.
"""

from __future__ import annotations

import queue
from collections import deque
from types import GenericAlias
from typing import TYPE_CHECKING, Self

from verify import _real
from verify.primitives.patches import Patch, State, me_of, method
from verify.runtime import current
from verify.runtime.gate import Gate

if TYPE_CHECKING:
    from verify.primitives.patches import Model
    from verify.runtime.execution import Execution
    from verify.runtime.task import Task

    AnyQueue = queue.Queue[object]


class QueueState(State):
    """Gates of one queue: something to get, room to put, all work done."""

    __slots__ = ("all_done", "bounded", "not_empty", "not_full")

    KIND = "Queue"

    bounded: bool

    @property
    def full(self) -> bool:
        """Whether there is no room now."""
        return not self.not_full.open

    def begin(self, execution: Execution, subject: object) -> None:
        """Start from what the real queue holds."""
        self.not_empty = Gate(execution, self, is_open=False)
        self.not_full = Gate(execution, self, is_open=True)
        self.all_done = Gate(execution, self, is_open=True)
        self.bounded = getattr(subject, "maxsize", 0) > 0
        if isinstance(subject, queue.Queue) and hasattr(subject, "queue"):
            self.settle(subject)

    def settle(self, subject: AnyQueue) -> None:
        """Set the gates after a change."""
        size = subject._qsize()  # noqa: SLF001 - the hook that subclasses override
        stopped = bool(getattr(subject, "is_shutdown", False))
        for gate, is_open in (
            (self.not_empty, size > 0 or stopped),
            (self.not_full, stopped or subject.maxsize <= 0 or size < subject.maxsize),
            (self.all_done, subject.unfinished_tasks == 0),
        ):
            if is_open:
                gate.set_open()
            else:
                gate.set_closed()


def _init(execution: Execution, _me: Task, subject: AnyQueue, maxsize: int = 0) -> None:
    subject.maxsize = maxsize
    subject._init(maxsize)  # noqa: SLF001 - the hook that subclasses override
    subject.unfinished_tasks = 0
    if hasattr(queue, "ShutDown"):
        vars(subject)["is_shutdown"] = False
    QueueState.of(execution, subject)


def _wait(  # noqa: PLR0917 - one wait for both directions
    execution: Execution,
    me: Task,
    op: str,
    state: QueueState,
    gate: Gate,
    blocking: bool,
    timeout: float | None,
) -> bool:
    if not blocking:
        execution.point(me, op, state)
        if not gate.open:
            me.yields += 1
        return gate.open
    if timeout is not None and timeout < 0:
        raise ValueError("'timeout' must be a non-negative number")
    return execution.pass_gate(me, op, state, gate, timeout)


def _refuse_if_shut_down(subject: AnyQueue, *, only_if_empty: bool) -> None:
    if getattr(subject, "is_shutdown", False) and not (only_if_empty and subject._qsize()):  # noqa: SLF001 - the hook
        raise getattr(queue, "ShutDown")  # noqa: B009 - Python 3.13 and later


def _put(  # noqa: PLR0917 - as queue.Queue
    execution: Execution,
    me: Task,
    subject: AnyQueue,
    item: object,
    block: bool = True,
    timeout: float | None = None,
) -> None:
    state = QueueState.of(execution, subject)
    if not _wait(execution, me, "Queue.put", state, state.not_full, block, timeout):
        raise queue.Full
    _refuse_if_shut_down(subject, only_if_empty=False)
    subject._put(item)  # noqa: SLF001 - the hook that subclasses override
    subject.unfinished_tasks += 1
    state.settle(subject)


def _get(
    execution: Execution,
    me: Task,
    subject: AnyQueue,
    block: bool = True,
    timeout: float | None = None,
) -> object:
    state = QueueState.of(execution, subject)
    if not _wait(execution, me, "Queue.get", state, state.not_empty, block, timeout):
        raise queue.Empty
    _refuse_if_shut_down(subject, only_if_empty=True)
    item: object = subject._get()  # noqa: SLF001 - the hook that subclasses override
    state.settle(subject)
    return item


def _task_done(execution: Execution, me: Task, subject: AnyQueue) -> None:
    state = QueueState.of(execution, subject)
    execution.point(me, "Queue.task_done", state)
    if subject.unfinished_tasks <= 0:
        raise ValueError("task_done() called too many times")
    subject.unfinished_tasks -= 1
    state.settle(subject)


def _join(execution: Execution, me: Task, subject: AnyQueue) -> None:
    state = QueueState.of(execution, subject)
    execution.pass_gate(me, "Queue.join", state, state.all_done)


def _size(execution: Execution, me: Task, subject: AnyQueue) -> int:
    execution.point(me, "Queue.qsize", QueueState.of(execution, subject))
    return subject._qsize()  # noqa: SLF001 - the hook that subclasses override


def _empty(execution: Execution, me: Task, subject: AnyQueue) -> bool:
    execution.point(me, "Queue.empty", QueueState.of(execution, subject))
    return not subject._qsize()  # noqa: SLF001 - the hook that subclasses override


def _full(execution: Execution, me: Task, subject: AnyQueue) -> bool:
    execution.point(me, "Queue.full", QueueState.of(execution, subject))
    return 0 < subject.maxsize <= subject._qsize()  # noqa: SLF001 - the hook that subclasses override


def _shutdown(execution: Execution, me: Task, subject: AnyQueue, immediate: bool = False) -> None:
    state = QueueState.of(execution, subject)
    execution.point(me, "Queue.shutdown", state)
    vars(subject)["is_shutdown"] = True
    if immediate:
        while subject._qsize():  # noqa: SLF001 - the hook that subclasses override
            subject._get()  # noqa: SLF001 - the hook that subclasses override
            if subject.unfinished_tasks > 0:
                subject.unfinished_tasks -= 1
    state.settle(subject)


class SimpleQueue(State):
    """Stands in for `queue.SimpleQueue`."""

    __slots__ = ("items", "not_empty")

    KIND = "SimpleQueue"

    __class_getitem__: classmethod[SimpleQueue, [object], GenericAlias] = classmethod(GenericAlias)

    def __new__(cls) -> Self:
        """Make a model for a controlled caller, a real queue for any other thread."""
        running = current.controlled()
        if running is None:
            return _real.SimpleQueue()  # type: ignore[return-value]
        self = object.__new__(cls)
        self.items = deque()
        self.adopt(running)
        return self

    items: deque[object]

    def adopt(self, execution: Execution) -> None:
        """Belong to `execution`, with what is in it."""
        super().adopt(execution)
        self.not_empty = Gate(execution, self, is_open=bool(self.items))

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002
        """Add an item; never blocks."""
        execution = current.execution
        if execution is not None:
            if self.execution is not execution:
                self.adopt(execution)
            execution.point(me_of(execution), "SimpleQueue.put", self)
        self.items.append(item)
        self.not_empty.set_open()

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        """Take the oldest item; raise queue.Empty if there is none in time."""
        execution = current.execution
        if execution is not None:
            if self.execution is not execution:
                self.adopt(execution)
            me = me_of(execution)
            if timeout is not None and timeout < 0:
                raise ValueError("'timeout' must be a non-negative number")
            if block:
                passed = execution.pass_gate(me, "SimpleQueue.get", self, self.not_empty, timeout)
            else:
                execution.point(me, "SimpleQueue.get", self)
                passed = bool(self.items)
        else:
            passed = bool(self.items)
        if not passed:
            raise queue.Empty
        item = self.items.popleft()
        if not self.items:
            self.not_empty.set_closed()
        return item

    def _look(self, op: str) -> None:
        execution = current.execution
        if execution is not None:
            if self.execution is not execution:
                self.adopt(execution)
            execution.point(me_of(execution), op, self)

    def put_nowait(self, item: object) -> None:
        """Add an item."""
        self.put(item)

    def get_nowait(self) -> object:
        """Take the oldest item or raise queue.Empty."""
        return self.get(block=False)

    def empty(self) -> bool:
        """Say whether there is nothing to get."""
        self._look("SimpleQueue.empty")
        return not self.items

    def qsize(self) -> int:
        """Return the number of items."""
        self._look("SimpleQueue.qsize")
        return len(self.items)


def rows() -> list[Patch]:
    """Return the patches for `queue.Queue`."""
    out: list[Patch] = []
    table: list[tuple[str, Model]] = [
        ("__init__", _init), ("put", _put), ("get", _get), ("task_done", _task_done), ("join", _join),
        ("qsize", _size), ("empty", _empty), ("full", _full),
    ]  # fmt: skip
    if hasattr(queue.Queue, "shutdown"):
        table.append(("shutdown", _shutdown))
    for name, model in table:
        method(queue.Queue, name, model, out)
    return out
