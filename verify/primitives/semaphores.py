"""Semaphore and BoundedSemaphore: a counter and a gate that is open while it is above zero."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from verify.primitives.locks import seconds
from verify.primitives.patches import Patch, State, method
from verify.runtime.gate import Gate

if TYPE_CHECKING:
    from verify.runtime.execution import Execution
    from verify.runtime.task import Task


class SemaphoreState(State):
    """The gate is open while the counter, which lives in the real object, is positive."""

    __slots__ = ("gate",)

    KIND = "Semaphore"

    def begin(self, execution: Execution, subject: object) -> None:
        """Start from the counter the real semaphore has."""
        self.gate = Gate(execution, self, is_open=int(getattr(subject, "_value", 0)) > 0)


def _init(execution: Execution, _me: Task, semaphore: threading.Semaphore, value: int = 1) -> None:
    if value < 0:
        raise ValueError("semaphore initial value must be >= 0")
    vars(semaphore)["_value"] = value
    SemaphoreState.of(execution, semaphore)


def _bounded_init(
    execution: Execution, me: Task, semaphore: threading.BoundedSemaphore, value: int = 1
) -> None:
    _init(execution, me, semaphore, value)
    vars(semaphore)["_initial_value"] = value


def _acquire(
    execution: Execution,
    me: Task,
    semaphore: threading.Semaphore,
    blocking: bool = True,
    timeout: float | None = None,
) -> bool:
    if not blocking and timeout is not None:
        raise ValueError("can't specify timeout for non-blocking acquire")
    state = SemaphoreState.of(execution, semaphore)
    wait = seconds(blocking, timeout)
    if wait is not None and wait <= 0:
        execution.point(me, "Semaphore.try_acquire", state)
        passed = state.gate.open
        if not passed:
            me.yields += 1
    else:
        passed = execution.pass_gate(me, "Semaphore.acquire", state, state.gate, wait)
    if wait is not None and execution.listening:
        execution.result(me, result=passed)
    if passed:
        attributes = vars(semaphore)
        attributes["_value"] -= 1
        if attributes["_value"] == 0:
            state.gate.set_closed()
    return passed


def _release(execution: Execution, me: Task, semaphore: threading.Semaphore, n: int = 1) -> None:
    if n < 1:
        raise ValueError("n must be one or more")
    state = SemaphoreState.of(execution, semaphore)
    execution.point(me, "Semaphore.release", state)
    attributes = vars(semaphore)
    limit = attributes.get("_initial_value")
    if limit is not None and attributes["_value"] + n > limit:
        raise ValueError("Semaphore released too many times")
    attributes["_value"] += n
    state.gate.set_open()


def rows() -> list[Patch]:
    """Return the patches for both classes; `__enter__` was bound to `acquire` at class creation, so it has its own."""
    out: list[Patch] = []
    method(threading.Semaphore, "__init__", _init, out)
    method(threading.BoundedSemaphore, "__init__", _bounded_init, out)
    for name, model in (("acquire", _acquire), ("__enter__", _acquire), ("release", _release)):
        method(threading.Semaphore, name, model, out)
    method(threading.BoundedSemaphore, "release", _release, out)
    return out
