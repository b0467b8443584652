"""Condition: release, wait and take back as CPython does, in one atomic model.

Promises: waiters are notified in the order in which they began to wait (CPython's deque); a
notified waiter needs the lock before it goes on, and competes for it like any other task. A wait
that times out competes for the lock as well. There are no spurious wake-ups, as CPython has none.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from verify.abc import TIMEOUT
from verify.primitives.locks import Lock, RLock
from verify.primitives.patches import Patch, State, method
from verify.runtime import interrupts
from verify.runtime.gate import Gate

if TYPE_CHECKING:
    from verify.runtime.execution import Execution
    from verify.runtime.task import Task


MOST_KEPT = 15  # notifications of one condition, for the report


class Waiter:
    """One waiting task: its gate stays closed until it is notified, then the lock's gate takes over."""

    __slots__ = ("gate", "notified", "task")

    def __init__(self, task: Task, gate: Gate) -> None:
        self.task = task
        self.gate = gate
        self.notified = False

    def gate_of(self, lock: Lock | RLock) -> Gate:
        """Return what it waits for now."""
        return lock.gate if self.notified else self.gate


class ConditionState(State):
    """The waiters, and what the report of a lost wake-up needs: notifications that nobody waited for."""

    __slots__ = ("history", "lock", "lost", "waiters")

    KIND = "Condition"

    def begin(self, execution: Execution, subject: object) -> None:
        """Start with no waiters."""
        del execution
        self.lock: object = vars(subject).get("_lock")
        self.waiters: deque[Waiter] = deque()
        self.lost = 0
        self.history: list[str] = []

    def bind(self, lock: Lock | RLock) -> None:
        """Know the lock, which every operation on the condition is on as well."""
        if isinstance(self.key, int) and isinstance(lock.key, int):
            self.key = (self.key, lock.key)

    @property
    def waiting(self) -> list[Task]:
        """The tasks that wait for a notification, first to be notified first."""
        return [waiter.task for waiter in self.waiters]


def _init(
    execution: Execution, _me: Task, condition: threading.Condition, lock: object = None
) -> None:
    if lock is None:
        lock = RLock()
    attributes = vars(condition)
    attributes["_lock"] = lock
    attributes["acquire"] = getattr(lock, "acquire")  # noqa: B009 - any lock-like object is allowed
    attributes["release"] = getattr(lock, "release")  # noqa: B009 - any lock-like object is allowed
    if isinstance(lock, RLock):
        attributes["_is_owned"] = lock._is_owned  # noqa: SLF001 - as CPython
    attributes["_waiters"] = deque()
    ConditionState.of(execution, condition)


def _lock_of(condition: threading.Condition) -> Lock | RLock:
    lock = vars(condition)["_lock"]
    if isinstance(lock, Lock | RLock):
        return lock
    raise RuntimeError(
        f"this Condition was made on a {type(lock).__name__} that existed before the check started; "
        "make the lock or the Condition inside the code under test"
    )


def _wait(
    execution: Execution, me: Task, condition: threading.Condition, timeout: float | None = None
) -> bool:
    lock = _lock_of(condition)
    state = ConditionState.of(execution, condition)
    if not lock.held_by_me(me):
        raise RuntimeError("cannot wait on un-acquired lock")
    state.bind(lock)
    execution.point(me, "Condition.wait", state)
    waiter = Waiter(me, Gate(execution, state, is_open=False))
    state.waiters.append(waiter)
    depth = lock.free_all(me)
    me.op = "Condition.wait"
    execution.park(me, waiter.gate, timeout)
    if me in execution.interrupts and not waiter.notified:
        _interrupted(execution, me, state, waiter, lock, depth)
    if not waiter.notified:
        _time_out(execution, me, state, waiter, lock)
    execution.wake(me)
    me.op = "Condition.wake"
    me.target = state
    lock.take_back(me, depth)
    if execution.listening:
        execution.announce(me)
        if timeout is not None:
            execution.result(me, result=waiter.notified)
    return waiter.notified


def _time_out(
    execution: Execution, me: Task, state: ConditionState, waiter: Waiter, lock: Lock | RLock
) -> None:
    # 1. The timer was chosen: the clock is at the deadline, the waiter is no longer one.
    # 2. The lock is needed again; somebody may hold it, or take it first.
    deadline = me.deadline
    if deadline is not None:
        execution.clock.reach(deadline)
    execution.wake(me)
    execution.aside(me, TIMEOUT)
    me.yields += 1
    state.waiters.remove(waiter)
    execution.pass_gate(me, "Condition.timeout", state, lock.gate)


def _interrupted(  # noqa: PLR0917 - the whole of a wait
    execution: Execution,
    me: Task,
    state: ConditionState,
    waiter: Waiter,
    lock: Lock | RLock,
    depth: int,
) -> None:
    """Do what was posted to the waiting task, then wait on; an exception leaves with the lock taken back."""
    while me in execution.interrupts and not waiter.notified:
        deadline = me.deadline
        execution.wake(me)
        try:
            interrupts.deliver(execution, me)
        except BaseException:
            if not waiter.notified:
                state.waiters.remove(waiter)
            execution.pass_gate(me, "Condition.wake", state, lock.gate)
            lock.take_back(me, depth)
            raise
        me.op = "Condition.wait"
        gate = waiter.gate_of(lock)
        execution.park(me, gate, None if deadline is None else deadline - execution.clock.now)


def _notify(execution: Execution, me: Task, condition: threading.Condition, n: int = 1) -> None:
    _notify_some(execution, me, condition, n, "Condition.notify")


def _notify_all(execution: Execution, me: Task, condition: threading.Condition) -> None:
    _notify_some(execution, me, condition, None, "Condition.notify_all")


def _notify_some(
    execution: Execution, me: Task, condition: threading.Condition, n: int | None, op: str
) -> None:
    lock = _lock_of(condition)
    if not lock.held_by_me(me):
        raise RuntimeError("cannot notify on un-acquired lock")
    state = ConditionState.of(execution, condition)
    state.bind(lock)
    execution.point(me, op, state)
    if execution.record_sites:
        _tell(execution, me, state)
    if not state.waiters:
        state.lost += 1
        return
    for _ in range(len(state.waiters) if n is None else min(n, len(state.waiters))):
        _hand_over(execution, state.waiters.popleft(), lock.gate)


def _tell(execution: Execution, me: Task, state: ConditionState) -> None:
    met = "woke " + state.waiting[0].title if state.waiters else "nobody waited"
    line = f"{me.title} notified at {execution.site_of(me)} (step {execution.steps}): {met}"
    del state.history[:-MOST_KEPT]
    state.history.append(line)


def _hand_over(execution: Execution, waiter: Waiter, gate: Gate) -> None:
    """A notified waiter no longer waits for the notification or its time-out, but for the lock."""
    task = waiter.task
    waiter.notified = True
    if task.gate is not waiter.gate:
        return  # it does what was posted to it, and asks for the lock afterwards
    waiter.gate.waiting.remove(task)
    execution.cancel_timer(task)
    task.gate = gate
    gate.waiting.append(task)
    if gate.open:
        execution.enable(task)
    else:
        execution.disable(task)  # an interrupt may have woken it before


def rows() -> list[Patch]:
    """Return the patches for `threading.Condition` (wait_for runs unchanged on them)."""
    out: list[Patch] = []
    for name, model in (
        ("__init__", _init), ("wait", _wait), ("notify", _notify), ("notify_all", _notify_all),
    ):  # fmt: skip
        method(threading.Condition, name, model, out)
    return out
