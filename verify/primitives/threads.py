"""Thread: a task. `threading.Thread` keeps its class and its `run`; starting and joining go through the scheduler.

Promises: default names count from 1 in every execution, idents and hashes follow creation order,
so nothing that a thread can read of itself differs from run to run. Subclasses and `threading.Timer` work
unchanged.
"""

from __future__ import annotations

import _thread
import sys
import threading
from typing import TYPE_CHECKING

from verify.abc import ALL, NUMBERS
from verify.primitives import thread_private
from verify.primitives.numbered import NUMBER, hash_of, next_number
from verify.primitives.patches import Patch, function, method
from verify.primitives.thread_private import LOCK, TASK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from verify.primitives.patches import Model
    from verify.runtime.execution import Execution
    from verify.runtime.task import Task

STARTER = "start_new_thread" if sys.version_info < (3, 13) else "start_joinable_thread"
_STARTER = f"_{STARTER}"  # its name in `threading`
_threading, _low_level = vars(threading), vars(_thread)


def newname(template: str) -> str:
    """Return a default thread name; `threading` counts, and its counter starts anew in every execution."""
    number: int = vars(threading)["_counter"]()
    return template % number


class _Started:
    """Stands in for the private started event: read by CPython's own properties, never waited for."""

    __slots__ = ("flag",)

    def __init__(self) -> None:
        self.flag = False

    def is_set(self) -> bool:
        return self.flag

    def set(self) -> None:
        self.flag = True

    def clear(self) -> None:
        self.flag = False


class _Handle:
    """What CPython 3.13 asks about a thread (before: `_is_stopped`): nothing to wait for outside the check."""

    __slots__ = ("attributes",)

    ident = 0

    def __init__(self, attributes: dict[str, object]) -> None:
        self.attributes = attributes

    def join(self, timeout: float = -1) -> None:
        """Return at once."""

    def is_done(self) -> bool:
        """Say whether it has ended."""
        return bool(self.attributes["_is_stopped"])


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
    if not name:
        name = newname("Thread-%d")
        if target is not None:
            name = f"{name} ({getattr(target, '__name__', target)})"
    attributes = vars(thread)
    attributes.update(
        _target=target, _name=str(name), _args=args, _kwargs={} if kwargs is None else kwargs,
        _daemonic=me.daemon if daemon is None else daemon, _ident=None, _native_id=None, _initialized=True,
        _started=_Started(), _is_stopped=False, _stderr=sys.stderr, _tstate_lock=None,
    )  # fmt: skip
    attributes["_handle"] = _Handle(attributes)
    attributes[TASK] = None
    attributes[NUMBER] = next_number(execution)


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
    starter: Model = _threading[_STARTER]
    if starter is _low_level[STARTER]:
        _spawn(execution, thread)
    elif STARTER == "start_new_thread":  # the program's own
        starter(Bootstrap(thread), ())
    else:
        starter(Bootstrap(thread), handle=attributes["_handle"], daemon=attributes["_daemonic"])


class Bootstrap:
    """What a program that replaces the starter of threads is given to run."""

    def __init__(self, thread: threading.Thread) -> None:
        self.thread = thread

    def __call__(self) -> None:
        """Run in the caller's thread, as CPython's would."""
        self.thread.run()


def _spawn(execution: Execution, thread: threading.Thread) -> None:
    attributes = vars(thread)

    def body() -> None:
        try:
            thread.run()
        finally:
            attributes["_is_stopped"] = True
            if attributes[LOCK] is not None:
                thread_private.ended(thread)

    task = execution.spawn(body, attributes["_name"], daemon=bool(attributes["_daemonic"]))
    task.thread = thread
    task.excepthook = lambda error: thread_private.call_excepthook(thread, error)
    attributes[TASK] = task
    attributes["_ident"] = task.ident
    attributes["_native_id"] = task.ident
    attributes["_started"].set()


def _join(
    execution: Execution, me: Task, thread: threading.Thread, timeout: float | None = None
) -> None:
    task = _task_of(thread)
    if task is None:
        execution.aside(me, ALL)
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
    if vars(thread)[LOCK] is not None and task.done:
        thread_private.is_stopped(thread)


def _is_alive(execution: Execution, me: Task, thread: threading.Thread) -> bool:
    task = _task_of(thread)
    execution.point(me, "Thread.is_alive", task if task is not None else thread.name)
    return task is not None and not (task.done and thread_private.is_stopped(thread))


def _task_of(thread: threading.Thread) -> Task | None:
    task: Task | None = vars(thread).get(TASK)
    return task


class MainThread(threading.Thread):
    """What `current_thread()` and `main_thread()` return in the main task."""

    def __init__(self, task: Task) -> None:
        _running(self, task, "MainThread", 0)


def _running(thread: threading.Thread, task: Task, name: str, number: int) -> None:
    vars(thread).update(
        _target=None, _name=name, _args=(), _kwargs={}, _daemonic=task.daemon, _ident=task.ident,
        _native_id=task.ident, _initialized=True, _started=_Started(), _is_stopped=False, _stderr=sys.stderr,
        _tstate_lock=None
    )  # fmt: skip
    vars(thread)["_started"].set()
    vars(thread)["_handle"] = _Handle(vars(thread))
    vars(thread)[TASK] = task
    vars(thread)[NUMBER] = number


def thread_of(task: Task) -> threading.Thread:
    """Return the thread object of a task."""
    thread = task.thread
    if thread is None and task.index == 0:
        thread = task.thread = MainThread(task)
    if not isinstance(thread, threading.Thread):
        raise TypeError("internal error in stage3: a task without a thread")
    return thread


def _current_thread(execution: Execution, me: Task) -> threading.Thread:
    if me.thread is None and me.index:  # started by `_thread`
        kind = vars(threading)["_DummyThread"]
        dummy: threading.Thread = kind.__new__(kind)
        _running(dummy, me, newname("Dummy-%d"), next_number(execution))
        thread_private.keep_dummy(me, dummy)
    return thread_of(me)


def _main_thread(execution: Execution, _me: Task) -> threading.Thread:
    return thread_of(execution.tasks[0])


def _get_ident(_execution: Execution, me: Task) -> int:
    return me.ident


def _enumerate(execution: Execution, me: Task) -> list[threading.Thread]:
    execution.aside(me, ALL)
    return [thread_of(task) for task in _known(execution)]


def _active_count(execution: Execution, me: Task) -> int:
    execution.aside(me, ALL)
    return len(_known(execution))


def _known(execution: Execution) -> list[Task]:
    """Return the tasks that `threading` knows: not those that `_thread` started and that never asked who they are."""
    return [
        task
        for task in execution.tasks
        if not task.done and (task.thread is not None or task.index == 0)
    ]


def _start_new_thread(
    execution: Execution,
    me: Task,
    function: Model,
    args: tuple[object, ...],
    kwargs: dict[str, object] | None = None,
) -> int:
    if not callable(function):
        raise TypeError("first arg must be callable")
    if not isinstance(args, tuple):
        raise TypeError("2nd arg must be a tuple")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise TypeError("optional 3rd arg must be a dictionary")
    if isinstance(function, Bootstrap):
        _spawn(execution, function.thread)
        return function.thread.ident or 0
    title = getattr(function, "__name__", "thread")
    execution.point(me, "Thread.start", title)

    def body() -> None:
        try:
            function(*args, **(kwargs or {}))
        finally:
            thread_private.foreign_ended(execution.current)

    return execution.spawn(body, title, daemon=True).ident


def _start_joinable_thread(
    execution: Execution, _me: Task, function: Model, *args: object, **kwargs: object
) -> object:
    if not isinstance(function, Bootstrap):
        return _real_starter(function, *args, **kwargs)
    _spawn(execution, function.thread)
    return vars(function.thread)["_handle"]


_real_starter: Model = vars(_thread)[STARTER]


def _next_name(execution: Execution, _me: Task) -> int:
    execution.thread_names += 1
    execution.unseen += NUMBERS
    return execution.thread_names


def _count(execution: Execution, me: Task) -> int:
    execution.aside(me, ALL)
    return sum(not task.done for task in execution.tasks[1:])


METHODS: tuple[tuple[str, Model], ...] = (
    ("__init__", _init),
    ("start", _start),
    ("join", _join),
    ("is_alive", _is_alive),
)
FUNCTIONS: tuple[tuple[str, Model], ...] = (
    ("current_thread", _current_thread),
    ("main_thread", _main_thread),
    ("get_ident", _get_ident),
    ("get_native_id", _get_ident),
    ("enumerate", _enumerate),
    ("active_count", _active_count),
    ("_counter", _next_name),
)


LOW_LEVEL: tuple[tuple[str, Model], ...] = (
    ("start_new_thread", _start_new_thread),
    ("start_new", _start_new_thread),
    ("get_ident", _get_ident),
    ("get_native_id", _get_ident),
    ("_count", _count),
)


def rows() -> list[Patch]:
    """Return the patches for `threading.Thread` and the functions about the current one."""
    out = [Patch(threading.Thread, "__hash__", hash_of)]
    for name, model in METHODS:
        method(threading.Thread, name, model, out)
    for name, model in FUNCTIONS:
        function(threading, name, model, out)
    for name, model in LOW_LEVEL:
        function(_thread, name, model, out)
    if STARTER == "start_joinable_thread":
        function(_thread, STARTER, _start_joinable_thread, out)
    return out
