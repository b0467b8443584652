"""Finalizers outside scheduling: what runs when a last reference goes runs to its end on the task that dropped it.

Promises: while `undisturbed` calls something, no operation is a scheduling point and none adds to the schedule, so a
schedule does not depend on whether a finalizer has much to do. Operations are counted, checked in a replay and told to
detectors as ever. A finalizer that has to wait (a lock that another task holds) waits as it would in CPython: others
go on, by choices of the schedule, and a note says so; one that waits for its own task is a deadlock like any other.
Costs nothing while no finalizer runs: the execution's `choose` and `choices` are exchanged for the time.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, NamedTuple, ParamSpec, TypeVar

from verify.abc import PIN, UNPIN, Finding, title_of
from verify.runtime import current

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from verify.runtime.execution import Execution
    from verify.runtime.task import Task

    Choose = Callable[[Sequence[Task], Task], Task]

P = ParamSpec("P")
R = TypeVar("R")


class Pin(NamedTuple):
    """What an execution gets back when the finalizer ends."""

    choose: Choose
    choices: list[int]


def undisturbed(call: Callable[P, R]) -> Callable[P, R]:
    """Return `call`, run without scheduling points where a controlled task calls it."""

    @wraps(call)
    def finalizer(*args: P.args, **kwargs: P.kwargs) -> R:
        execution = current.controlled()
        me = execution.current if execution is not None else None
        if execution is None or me is None or execution.pinned is not None or execution.stopping:
            return call(*args, **kwargs)
        op, target = me.op, me.target
        pin(execution)
        try:
            return call(*args, **kwargs)
        finally:
            unpin(execution)
            me.op, me.target = op, target

    return finalizer


def pin(execution: Execution) -> None:
    """Let the running task go on whatever it does."""
    execution.pinned = Pin(execution.choose, execution.choices)
    if execution.current is not None:
        execution.aside(execution.current, PIN)
    execution.choose, execution.choices = _stay, []


def unpin(execution: Execution) -> None:
    """Let the strategy choose again; does nothing where it does so already."""
    pinned = execution.pinned
    if pinned is not None:
        if execution.current is not None:
            execution.aside(execution.current, UNPIN)
        execution.pinned = None
        execution.choose, execution.choices = pinned


def _stay(enabled: Sequence[Task], me: Task) -> Task:
    del enabled
    return me


def wait(execution: Execution, me: Task) -> None:
    """A finalizer has to wait: others go on until it can."""
    execution.notes.append(_waiting(execution, me))
    unpin(execution)
    execution.next_after(me)
    execution.current = me
    pin(execution)


def _waiting(execution: Execution, me: Task) -> Finding:
    what, _ = execution.waits_for(me) or (me.target, None)
    site = execution.site_of(me)
    message = (
        f"a finalizer that runs in {me.title} waits in {me.op} for {title_of(what)}, at {site}"
    )
    return Finding("finalizer waits", message, (me.op, site), culprits=(me.path,), fatal=False)
