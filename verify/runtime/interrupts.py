"""What one task does to another from outside: a signal's handler, an exception raised in another thread.

Promises: the other task does it before its next operation takes effect, as CPython does it between two
instructions. A task that is blocked or asleep is woken for it, and waits on, for the time that is left, unless it
raises. What is done may perform operations of its own: the operation under way looks again afterwards.
Does not: reach a task that makes no operation any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import INTERRUPT

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.runtime.execution import Execution
    from verify.runtime.gate import Gate
    from verify.runtime.task import Task

SIMULATED = "_stage3_simulated"


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
    except KeyboardInterrupt as error:
        vars(error)[SIMULATED] = True  # the program's, not that of whoever runs the check
        raise
