"""Thread: a task. `threading.Thread` keeps its class and its `run`; starting and joining go through the scheduler.

Promises: default names count from 1 in every execution, idents follow creation order, so nothing
that a thread can read of itself differs from run to run. Subclasses and `threading.Timer` work
unchanged.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from verify.primitives.patches import Patch, function, method

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from verify.primitives.patches import Model
    from verify.runtime.execution import Execution
    from verify.runtime.task import Task

TASK = "_stage3_task"


class _Started:
    """Stands in for the private started event: read by CPython's own properties, never waited for."""

    __slots__ = ("flag",)

    def __init__(self) -> None:
        self.flag = False

    def is_set(self) -> bool:
        return self.flag

    def set(self) -> None:
        self.flag = True


class _Ended:
    """What CPython asks about a thread once the check is over: it has ended (3.13's handle; `_is_stopped` before)."""

    __slots__ = ()

    ident = 0

    def join(self, timeout: float = -1) -> None:
        """Return at once."""

    def is_done(self) -> bool:
        """Say that it has ended."""
        return True


def _init(  # noqa: PLR0917 - as threading.Thread
    execution: Execution,
    me: Task,
    thread: threading.Thread,
    group: None = None,
    target: Model | None = None,
    name: str | None = None,
    args: Iterable[object] = (),
    kwargs: Mapping[str, object] | None = None,
    *,
    daemon: bool | None = None,
) -> None:
    if group is not None:
        raise AssertionError("group argument must be None for now")
    if name is None:
        execution.thread_names += 1
        name = f"Thread-{execution.thread_names}"
        if target is not None:
            name = f"{name} ({getattr(target, '__name__', target)})"
    attributes = vars(thread)
    attributes.update(
        _target=target, _name=str(name), _args=args, _kwargs={} if kwargs is None else kwargs,
        _daemonic=me.daemon if daemon is None else daemon, _ident=None, _native_id=None, _initialized=True,
        _started=_Started(), _is_stopped=True, _stderr=sys.stderr, _tstate_lock=None,
    )  # fmt: skip
    attributes[TASK] = None


def _start(execution: Execution, me: Task, thread: threading.Thread) -> None:
    attributes = vars(thread)
    if not attributes.get("_initialized"):
        raise RuntimeError("thread.__init__() not called")
    if TASK not in attributes:
        raise RuntimeError(
            f"thread {attributes.get('_name')!r} was made before the check started: make it inside the code under test"
        )
    if attributes[TASK] is not None:
        raise RuntimeError("threads can only be started once")
    execution.point(me, "Thread.start", attributes["_name"])
    task = execution.spawn(thread.run, attributes["_name"], daemon=bool(attributes["_daemonic"]))
    task.thread = thread
    attributes[TASK] = task
    attributes["_ident"] = task.ident
    attributes["_native_id"] = task.ident
    attributes["_started"].set()


def _join(
    execution: Execution, me: Task, thread: threading.Thread, timeout: float | None = None
) -> None:
    task = _task_of(thread)
    if task is None:
        raise RuntimeError("cannot join thread before it is started")
    if task is me:
        raise RuntimeError("cannot join current thread")
    gate = task.finished
    if gate is None:
        return
    if timeout is not None and timeout <= 0:
        execution.point(me, "Thread.join", task)
    else:
        execution.pass_gate(me, "Thread.join", task, gate, timeout)


def _is_alive(execution: Execution, me: Task, thread: threading.Thread) -> bool:
    task = _task_of(thread)
    execution.point(me, "Thread.is_alive", task if task is not None else thread.name)
    return task is not None and not task.done


def _task_of(thread: threading.Thread) -> Task | None:
    task: Task | None = vars(thread).get(TASK)
    return task


class MainThread(threading.Thread):
    """What `current_thread()` and `main_thread()` return in the main task."""

    def __init__(self, task: Task) -> None:
        vars(self).update(
            _target=None, _name="MainThread", _args=(), _kwargs={}, _daemonic=False, _ident=task.ident,
            _native_id=task.ident, _initialized=True, _started=_Started(), _is_stopped=True, _stderr=sys.stderr,
            _tstate_lock=None,
        _os_thread_handle=_Ended(),
        )  # fmt: skip
        vars(self)["_started"].set()
        vars(self)[TASK] = task


def thread_of(task: Task) -> threading.Thread:
    """Return the thread object of a task."""
    thread = task.thread
    if thread is None:
        thread = task.thread = MainThread(task)
    if not isinstance(thread, threading.Thread):
        raise TypeError("internal error in stage3: a task without a thread")
    return thread


def _current_thread(_execution: Execution, me: Task) -> threading.Thread:
    return thread_of(me)


def _main_thread(execution: Execution, _me: Task) -> threading.Thread:
    return thread_of(execution.tasks[0])


def _get_ident(_execution: Execution, me: Task) -> int:
    return me.ident


def _enumerate(execution: Execution, _me: Task) -> list[threading.Thread]:
    return [thread_of(task) for task in execution.tasks if not task.done]


def _active_count(execution: Execution, _me: Task) -> int:
    return sum(not task.done for task in execution.tasks)


METHODS: tuple[tuple[str, Model], ...] = (
    ("__init__", _init),
    ("start", _start),
    ("join", _join),
    ("is_alive", _is_alive),
)
FUNCTIONS: tuple[tuple[str, Model], ...] = (
    ("current_thread", _current_thread),
    ("currentThread", _current_thread),
    ("main_thread", _main_thread),
    ("get_ident", _get_ident),
    ("get_native_id", _get_ident),
    ("enumerate", _enumerate),
    ("active_count", _active_count),
    ("activeCount", _active_count),
)


def rows() -> list[Patch]:
    """Return the patches for `threading.Thread` and the functions about the current one."""
    out: list[Patch] = []
    for name, model in METHODS:
        method(threading.Thread, name, model, out)
    for name, model in FUNCTIONS:
        function(threading, name, model, out)
    return out
