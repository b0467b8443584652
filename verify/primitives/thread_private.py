"""What `threading` keeps to itself and programs look at all the same.

Promises: a thread that `_thread` started is a `_DummyThread` once it asks who it is, and stands in `_active` for as
long as in this version; before 3.13 `Thread._tstate_lock` is held until the thread ends, and stands in
`_shutdown_locks` unless the thread is a daemon; an exception that leaves a thread goes to `threading.excepthook`, and
one that leaves the hook to `sys.excepthook`, with CPython's words on the `sys.stderr` of now.
Does not: make the lock before somebody asks for it.
"""

from __future__ import annotations

import _thread
import sys
import threading
import traceback
from typing import TYPE_CHECKING

from verify import _real
from verify.primitives.locks import AdoptedLock
from verify.primitives.patches import Patch, function
from verify.runtime import current

if TYPE_CHECKING:
    from verify.runtime.execution import Execution
    from verify.runtime.task import Task

TASK = "_stage3_task"
LOCK = "_tstate_lock"
HAS_LOCK = sys.version_info < (3, 13)
DUMMIES_DIE = sys.version_info >= (3, 13)  # before, they stay in `_active` for ever

_active: dict[int, threading.Thread] = vars(threading)["_active"]
_dummies: dict[int, threading.Thread] = {}


# --- threads that `threading` did not start


def keep_dummy(task: Task, dummy: threading.Thread) -> None:
    """Enter the thread of a task that `threading` did not start."""
    if task.thread is None:
        task.thread = _active[task.ident] = _dummies[task.ident] = dummy


def foreign_ended(task: Task | None) -> None:
    """A task that `threading` did not start ends."""
    if task is not None and DUMMIES_DIE:
        _forget(task.ident)


def forget_dummies() -> None:
    """Leave no dummy behind."""
    for ident in [*_dummies]:
        _forget(ident)


def _forget(ident: int) -> None:
    dummy = _dummies.pop(ident, None)
    if dummy is not None and _active.get(ident) is dummy:
        del _active[ident]


# --- the lock of a thread's state


def _lock_of(thread: threading.Thread) -> object:
    attributes = vars(thread)
    task: Task | None = attributes.get(TASK)
    execution = current.controlled()
    if (
        execution is not None
        and task is not None
        and attributes.get(LOCK) is None
        and not task.done
    ):
        attributes[LOCK] = _held_by(execution, task)
        if not task.daemon:
            vars(threading)["_shutdown_locks"].add(attributes[LOCK])
    return attributes.get(LOCK)


def _held_by(execution: Execution, task: Task) -> AdoptedLock:
    # For everyone else it is a free lock: one that is left over holds nobody up when the interpreter ends.
    lock = AdoptedLock.of(_real.allocate_lock())
    lock.adopt(execution)
    lock.take_back(task, 1)
    return lock


def _set_lock(thread: threading.Thread, lock: object) -> None:
    vars(thread)[LOCK] = lock


def ended(thread: threading.Thread) -> None:
    """The thread is about to end: whoever waits for its lock gets it."""
    lock = vars(thread).get(LOCK)
    if isinstance(lock, AdoptedLock):
        lock.free()


def is_stopped(thread: threading.Thread) -> bool:
    """Say whether a thread that ended has given its lock back, and if so put the lock away, as CPython does."""
    lock = vars(thread).get(LOCK)
    if isinstance(lock, AdoptedLock):
        if not lock.gate.open:
            return False
        vars(thread)[LOCK] = None
        vars(threading)["_shutdown_locks"].discard(lock)
    return True


# --- exceptions that leave a thread


def call_excepthook(thread: threading.Thread, error: BaseException) -> None:
    """Do with an exception that no detector takes for a finding what CPython does."""
    details = threading.ExceptHookArgs((type(error), error, error.__traceback__, thread))
    try:
        threading.excepthook(details)
    except Exception as failed:  # noqa: BLE001 - a hook that fails must not end the check
        failed.__suppress_context__ = True
        stderr = sys.stderr if sys.stderr is not None else vars(thread)["_stderr"]
        print("Exception in threading.excepthook:", file=stderr, flush=True)
        sys.excepthook(*sys.exc_info())


def _excepthook(_execution: Execution, me: Task, details: threading.ExceptHookArgs) -> None:
    thread = details.thread
    stderr = sys.stderr
    if stderr is None and thread is not None:
        stderr = vars(thread)["_stderr"]
    if stderr is None or issubclass(details.exc_type, SystemExit):
        return
    name = me.ident if thread is None else thread.name
    print(f"Exception in thread {name}:", file=stderr, flush=True)
    traceback.print_exception(
        details.exc_type, details.exc_value, details.exc_traceback, file=stderr
    )
    stderr.flush()


def rows() -> list[Patch]:
    """Return the patches for a thread's lock and the hook."""
    out: list[Patch] = []
    if HAS_LOCK:
        out.append(Patch(threading.Thread, LOCK, property(_lock_of, _set_lock)))
    function(_thread, "_excepthook", _excepthook, out)
    return out
