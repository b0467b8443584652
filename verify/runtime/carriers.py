"""What a backend is, and what both backends share: the exception that takes a task down.

Promises: a backend only carries tasks. Who goes on, what an operation means and what a schedule
looks like are decided in `verify.runtime.execution`, so one token replays on every backend.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verify.runtime.execution import Execution
    from verify.runtime.task import Task

MAX_KILLS = 64
GREENLETS, THREADS = BACKENDS = ("greenlets", "threads")


class Killed(BaseException):
    """Raised in tasks that are still alive when their execution ends. Let it pass."""


class Root(Protocol):
    """Who called `Execution.run`: tasks hand over to it when the execution is to end."""

    def switch(self) -> object:
        """Suspend the caller and go on with the root."""
        ...


class Backend(Protocol):
    """Carries tasks: gives each its `switch`, and takes them down at the end.

    `switch` of a task suspends the caller and goes on with that task; it returns when somebody
    switches to the caller again, or raises `Killed` there.
    """

    @property
    def root(self) -> Root:
        """The caller of `Execution.run`."""
        ...

    def place(self, task: Task, execution: Execution) -> None:
        """Give `task` a carrier, its `switch` and its `resume_frame`."""
        ...

    def vacate(self, task: Task) -> None:
        """The task ended: its carrier is free as soon as it has switched away."""
        ...

    def kill(self, task: Task) -> None:
        """Take down a task that is suspended; called from the root."""
        ...


def first_context(task: Task) -> Context | None:
    """Return the context variables a task starts with, as CPython's threads do: None for an empty context.

    The main task sees those of whoever runs the check, and changes a copy. A thread starts with
    none, or with a copy of its creator's where the interpreter says so (3.14,
    `-X thread_inherit_context`).
    """
    inherits = getattr(sys.flags, "thread_inherit_context", False)
    return copy_context() if task.index == 0 or inherits else None


@contextmanager
def quiet_endings() -> Iterator[None]:
    """Say nothing of finalizers that end because their task is taken down; everything else is told as before.

    A finalizer (`__del__`, a weak reference's callback) runs where its task drops the last reference:
    with collections put off until after the execution, that place is a function of the schedule.
    """
    before = sys.unraisablehook

    def told(unraisable: sys.UnraisableHookArgs) -> None:
        if not issubclass(unraisable.exc_type, Killed):
            before(unraisable)

    sys.unraisablehook = told
    try:
        yield
    finally:
        sys.unraisablehook = before
