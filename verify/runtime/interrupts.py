"""What one task does to another from outside: a signal's handler, an exception raised in another thread.

Promises: the other task does it before its next operation takes effect, as CPython does it between two
instructions. A task that is blocked or asleep is woken for it, and waits on, for the time that is left, unless it
raises. What is done may perform operations of its own: the operation under way looks again afterwards.
An exception that comes from elsewhere (Ctrl-C, an alarm that a test runner has set) is told from the program's own.
Does not: reach a task that makes no operation any more.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from verify.abc import INTERRUPT, ScheduleMismatchError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType

    from verify.runtime.execution import Execution
    from verify.runtime.gate import Gate
    from verify.runtime.task import Task

SIMULATED = "_stage3_simulated"

_handlers: dict[int, CodeType] = {}
"""Code of the signal handlers that were there before the program ran, by id."""


def remember_handlers() -> None:
    """Take note of the signal handlers of whoever runs the check."""
    _handlers.clear()
    for number in signal.valid_signals():
        code = getattr(signal.getsignal(number), "__code__", None)
        if code is not None:
            _handlers[id(code)] = code


def from_outside(exception: BaseException) -> bool:
    """Say whether an exception is meant for whoever runs the check, and not the program's.

    1. pytest-timeout sets an alarm, and a check begins.
    2. A task runs a loop without end that nothing counts; the alarm's handler raises in the middle of it.
    3. Were that a find, its schedule would be run again, the loop too; and no alarm is set any more.
    """
    if hasattr(exception, SIMULATED):
        return False
    if isinstance(exception, KeyboardInterrupt | ScheduleMismatchError | UsageError):
        return True
    trace = exception.__traceback__
    while trace is not None:
        if id(trace.tb_frame.f_code) in _handlers:
            return True
        trace = trace.tb_next
    return False


def post(execution: Execution, task: Task, action: Callable[[], object]) -> None:
    """Let `task` do `action`: at once if it is the caller, else before its next operation, never after its end."""
    if task.done:
        return
    if task is execution.current:
        _do(action)
        return
    execution.aside(task, INTERRUPT)
    execution.interrupts.setdefault(task, []).append(action)
    execution.listening = True
    execution.enable(task)


def wake_all(execution: Execution) -> bool:
    """Enable the tasks that have something to do; return whether there are any.

    1. Task A posts to B, which is blocked on a gate, and so enables it.
    2. Task C opens the gate, and closes it again: B is not enabled any more.
    """
    for task in execution.interrupts:
        execution.enable(task)
    return bool(execution.enabled)


def heard(execution: Execution, me: Task, gate: Gate, timeout: float | None = None) -> bool:
    """Tell of an operation whose wait ended; if that was for an interrupt, or one closed its gate, wait on."""
    deliver(execution, me)
    if not gate.open:
        return execution.pass_gate(me, me.op, me.target, gate, timeout)
    execution.announce(me)
    return True


def deliver(execution: Execution, me: Task) -> None:
    """Do what was posted to the running task; `op` and `target` are afterwards what they were."""
    op, target = me.op, me.target
    actions = execution.interrupts.get(me, [])
    while actions:
        action = actions.pop(0)
        if not actions:
            del execution.interrupts[me]
        _do(action)
    me.op, me.target = op, target


def _do(action: Callable[[], object]) -> None:
    try:
        action()
    except BaseException as error:
        vars(error)[SIMULATED] = True  # the program's, not that of whoever runs the check
        raise
