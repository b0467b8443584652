"""The confirming backend: each task on an OS thread of its own, handed on by a baton a thread.

Promises: schedules, choices and step checks are those of the greenlet backend, since both only
carry. The running task decides and wakes the next one itself; every parked thread waits on its own
raw lock, never on a shared condition. A task gets a fresh thread, so real thread-local state,
asyncio loops and extensions bound to a thread work as they do without a check.

One thread runs at a time:
1. Thread A sets `running` to B's seat and releases B's baton.
2. A waits for its own baton. Until it does, it reads nothing that B may change.
3. B wakes, says that it is the controlled thread (`os_ident`), and goes on.

A thread that should not run any more (its task was abandoned while it was blocked in C) is not the
one that `running` names: it ends, or is parked for ever, at its next hand-over, and the models treat
it as a thread that no check controls. All threads are daemons, so none keeps the process alive.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from verify import _real
from verify.runtime.carriers import Killed, first_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from verify.runtime.execution import Execution
    from verify.runtime.task import Task

set_async_exc = ctypes.pythonapi.PyThreadState_SetAsyncExc
"""The interpreter's own, saved before anything is patched: `verify.patching` imports this module.

Not in `verify._real`, which every process imports that records itself: ctypes is slow to load.
"""
LOOK_EVERY_S = 0.1  # how often the parked root looks whether the running task was given up


class Seat:
    """A place to wait: one OS thread and the baton it is woken by."""

    __slots__ = ("baton", "ident", "pool")

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.baton = _real.allocate_lock()
        self.baton.acquire()
        self.ident = 0

    def wake(self) -> None:
        """Let the thread of this seat go on."""
        self.baton.release()

    def park(self) -> None:
        """Wait until somebody hands over to this seat; called by its own thread."""
        self.baton.acquire()
        self.pool.set_running(self)

    def switch(self) -> None:
        """Suspend the caller and go on here."""
        pool = self.pool
        me = pool.running
        if me.ident != _real.get_ident():  # an abandoned task came back
            if self is pool.root:
                return
            _park_for_ever()
        pool.running = self
        try:
            self.wake()
        except BaseException:
            pool.running = me  # no thread to be had: the caller goes on, with the error
            raise
        me.park()


class RootSeat(Seat):
    """The caller of `Execution.run`. While tasks run it waits, and can give up one that is blocked in C."""

    __slots__ = ()

    def park(self) -> None:
        """Wait for the end of the execution, or until the running task is given up."""
        while not self._woken():
            gave_up = self.pool.gave_up
            # The task may have handed over since: its baton then lies here, and nobody is given up.
            if gave_up is not None and (self.baton.acquire(blocking=False) or gave_up()):
                break
        self.pool.set_running(self)

    def _woken(self) -> bool:
        try:
            return self.baton.acquire(timeout=LOOK_EVERY_S)
        except KeyboardInterrupt as error:
            # Ctrl-C reaches the main thread, which is this one: it belongs to the running task.
            if not raise_in(self.pool.running.ident, type(error)):
                raise
            return False


class Carrier(Seat):
    """The OS thread of one task."""

    __slots__ = ("doomed", "execution", "left", "started", "task")

    def __init__(self, pool: Pool, task: Task, execution: Execution) -> None:
        super().__init__(pool)
        self.task = task
        self.execution = execution
        self.started = False
        self.left = False
        self.doomed = False

    def wake(self) -> None:
        """Release the baton, or start the thread if this is its first turn."""
        if self.started:
            self.baton.release()
            return
        self.started = True
        context = first_context(self.task)
        if context is None:
            _real.start_new_thread(self.run, ())
        else:
            _real.start_new_thread(context.run, (self.run,))

    def park(self) -> None:
        """Wait for the next turn; a thread whose task has ended just goes."""
        if self.left:
            return
        self.baton.acquire()
        self.pool.set_running(self)
        if self.doomed:
            self.doomed = False
            raise Killed

    def run(self) -> None:
        """Carry the task from its first step to its last."""
        self.ident = _real.get_ident()
        self.pool.set_running(self)
        hook = threading.gettrace()  # what `threading.settrace` asks of every new thread
        if hook is not None:
            sys.settrace(hook)
        self.execution.carry(self.task)

    def frame(self) -> FrameType | None:
        """Return the innermost frame of the parked task."""
        return sys._current_frames().get(self.ident) if self.started else None  # noqa: SLF001 - the documented way to it


class Pool:
    """The threads of one execution at a time; the same interface as the greenlet pool's.

    `gave_up`, once set (by the watchdog of blocked calls), is called on the root while it waits; if
    it says True, the running task is no longer waited for.
    """

    def __init__(self) -> None:
        self.root = RootSeat(self)
        self.running: Seat = self.root
        self.execution: Execution | None = None
        self.gave_up: Callable[[], bool] | None = None
        self.abandoned: list[Carrier] = []

    def set_running(self, seat: Seat) -> None:
        """The thread of `seat` is the controlled one from now on."""
        self.running = seat
        execution = self.execution
        if execution is not None:
            execution.os_ident = seat.ident

    def place(self, task: Task, execution: Execution) -> None:
        """Give `task` a carrier; its thread starts at its first turn."""
        if execution is not self.execution:
            self.execution = execution
            self.root.ident = _real.get_ident()
            self.running = self.root
        carrier = Carrier(self, task, execution)
        task.worker = carrier
        task.switch = carrier.switch
        task.resume_frame = carrier.frame

    def vacate(self, task: Task) -> None:
        """The task ended: its thread ends when it has handed over."""
        carrier = task.worker
        if isinstance(carrier, Carrier):
            carrier.left = True
            task.worker = None

    def kill(self, task: Task) -> None:
        """Take down a task that is parked; called from the root."""
        carrier = task.worker
        if not isinstance(carrier, Carrier):
            return
        if not task.started:
            self.vacate(task)
            return
        carrier.doomed = True
        carrier.switch()
        if not task.done:
            self.abandoned.append(carrier)
            task.worker = None

    def abandon(self) -> None:
        """Stop waiting for the running task: it is blocked where nothing of ours can wake it."""
        carrier = self.running
        self.gave_up = None
        if isinstance(carrier, Carrier):
            self.abandoned.append(carrier)
            carrier.task.worker = None
            self.running = self.root
            if not _tracing_hangs():
                raise_in(carrier.ident, Killed)


def _tracing_hangs() -> bool:
    """Say whether an exception that waits in a thread blocked in C would stop this one.

    On 3.11 such an exception keeps every thread's evaluation loop asking for pending work, and a traced function
    asks for ever before its first line. Without the exception a thread left behind goes on to its end, uncontrolled.
    """
    return sys.version_info < (3, 12) and (
        sys.gettrace() is not None or threading.gettrace() is not None
    )


def raise_in(ident: int, kind: type[BaseException]) -> bool:
    """Raise `kind` in another OS thread at its next bytecode; return whether there is such a thread."""
    return bool(set_async_exc(ctypes.c_ulong(ident), ctypes.py_object(kind)))


def _park_for_ever() -> None:
    lock = _real.allocate_lock()
    lock.acquire()
    lock.acquire()


@contextmanager
def one_core() -> Iterator[None]:
    """Keep the calling thread, and those it starts, on one core: a hand-over is then ten times as cheap.

    Does nothing where the system cannot; restores what was. Which core depends on the process, so
    that several do not meet on one.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {sorted(before)[os.getpid() % len(before)]})
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
