"""Signals that the program sends itself, and exceptions raised in another thread through the C API.

Promises: a handler written in Python runs in the main task, before its next operation. A signal without one
does what it does outside a check: `interrupt_main` nothing, the others what the system does.
Does not: control signals that come from elsewhere (alarms, other processes): they arrive in whichever task runs.
"""

from __future__ import annotations

import _thread
import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING

from verify.primitives.patches import Patch, function
from verify.processes import signal_name
from verify.runtime import current, interrupts
from verify.runtime.os_threads import set_async_exc

if TYPE_CHECKING:
    from verify.runtime.execution import Execution
    from verify.runtime.task import Task

_raise_signal = signal.raise_signal
_kill = os.kill


def _send(execution: Execution, me: Task, signum: int) -> bool:
    """Have the main task run a handler; return False if there is none in Python."""
    handler = signal.getsignal(signum)
    if not callable(handler):
        return False
    execution.point(me, "signal.send", signal_name(signum))
    interrupts.post(execution, execution.tasks[0], lambda: handler(signum, sys._getframe(1)))  # noqa: SLF001 - a handler gets a frame
    return True


def _interrupt_main(execution: Execution, me: Task, signum: int = signal.SIGINT) -> None:
    if not 0 < signum < signal.NSIG:
        raise ValueError("signal number out of range")
    _send(execution, me, signum)


def _raise(execution: Execution, me: Task, signalnum: int) -> None:
    if not _send(execution, me, signalnum):
        _raise_signal(signalnum)


def _kill_process(execution: Execution, me: Task, pid: int, signum: int) -> None:
    if pid != os.getpid() or not signum or not _send(execution, me, signum):
        _kill(pid, signum)


def _set_async_exc(ident: ctypes.c_ulong | int, exception: object) -> int:
    """Stand in for `PyThreadState_SetAsyncExc`: return how many threads it is raised in."""
    execution = current.controlled()
    if execution is None:
        return int(set_async_exc(ident, exception))
    wanted = ident.value if isinstance(ident, ctypes.c_ulong) else ident
    kind = exception.value if isinstance(exception, ctypes.py_object) else exception
    for task in execution.tasks:
        if task.ident == wanted and not task.done:
            interrupts.post(execution, task, lambda: _throw(kind))
            return 1
    return 0


def _throw(kind: object) -> None:
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        raise TypeError("exceptions must derive from BaseException")
    raise kind


def rows() -> list[Patch]:
    """Return the patches for what sends signals and exceptions."""
    out = [Patch(ctypes.pythonapi, "PyThreadState_SetAsyncExc", _set_async_exc)]
    function(_thread, "interrupt_main", _interrupt_main, out)
    function(signal, "raise_signal", _raise, out)
    function(os, "kill", _kill_process, out)
    return out
