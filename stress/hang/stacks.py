"""What a thread does, read off its stack: for threads that no recorder describes.

Promises: pure; `operation` names what the innermost frames do in the words of the recorder
(`Lock.acquire`, `Condition.wait`, `socket.recv`), or `C call NAME`, or "" for plain Python.
Assumes: CPython's names of its own functions, native frames where there are any.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from verify.backtraces import StackFrame, ThreadDump

__all__ = ["INPUT_OUTPUT", "innermost", "native_call", "operation", "without_tracer"]

_LIBRARY: Final = ("/threading.py", "/queue.py", "/concurrent/futures/", "/verify/observe/")
_CLASSES: Final = {
    ("threading.py", "join"): "Thread.join",
    ("threading.py", "_wait_for_tstate_lock"): "Thread.join",
    ("threading.py", "wait"): "Condition.wait",
    ("threading.py", "acquire"): "Semaphore.acquire",
    ("threading.py", "_shutdown"): "threading._shutdown",
    ("queue.py", "get"): "Queue.get",
    ("queue.py", "put"): "Queue.put",
    ("queue.py", "join"): "Queue.join",
    ("_base.py", "result"): "Future.result",
    ("_base.py", "exception"): "Future.exception",
}
_NATIVE: Final = (
    # A part of the C function's name, and the operation; the first that fits wins.
    ("rlock_acquire", "RLock.acquire"),
    ("SimpleQueue_get", "SimpleQueue.get"),
    ("acquire_lock", "Lock.acquire"),
    ("sock_recv", "socket.recv"),
    ("sock_accept", "socket.accept"),
    ("sock_connect", "socket.connect"),
    ("sock_send", "socket.send"),
    ("select_poll", "select.poll"),
    ("select_epoll", "select.epoll"),
    ("select_select", "select.select"),
    ("pysleep", "time.sleep"),
    ("time_sleep", "time.sleep"),
    ("os_waitpid", "os.waitpid"),
    ("os_wait", "os.waitpid"),
    ("_Py_read", "read"),
    ("_Py_write", "write"),
    ("_io_FileIO", "read"),
    ("os_read", "os.read"),
    ("os_write", "os.write"),
    ("fcntl", "fcntl"),
    # Libraries without symbols of Python's own: the system call's wrapper.
    ("epoll_wait", "select.epoll"),
    ("recv", "socket.recv"),
    ("accept", "socket.accept"),
    ("wait4", "os.waitpid"),
)
_FOR_THE_GIL: Final = ("take_gil", "PyEval_RestoreThread", "PyEval_AcquireThread")
_FOREIGN: Final = ("ffi_call", "_call_function_pointer", "cffi")
_TRACERS: Final = ("CTracer_", "trace_trampoline", "call_trampoline")
INPUT_OUTPUT: Final = frozenset(
    {"read", "write", "fcntl"}
    | {f"os.{name}" for name in ("read", "write", "waitpid")}
    | {f"socket.{name}" for name in ("recv", "recv_into", "recvfrom", "recvfrom_into", "send")}
    | {f"socket.{name}" for name in ("sendall", "sendto", "accept", "connect", "makefile")}
    | {f"select.{name}" for name in ("select", "poll", "epoll")}
    | {"Selector.select", "subprocess.wait", "Popen.wait", "Popen.communicate"}
)
"""Operations that end when something outside the process happens."""


def without_tracer(thread: ThreadDump) -> ThreadDump:
    """Return `thread` without the frames of a debugger's or coverage's trace function: not the program is there."""
    for at, frame in enumerate(thread.frames):
        if frame.native and frame.function.startswith(_TRACERS):
            return replace(thread, frames=thread.frames[:at])
    return thread


def native_call(thread: ThreadDump) -> str:
    """Return the name of the C function that foreign code was called by, "" where none was."""
    tail = thread.native_tail()
    called = [at for at, frame in enumerate(tail) if frame.function.startswith(_FOREIGN)]
    if not called:
        return ""
    inside = [frame.function for frame in tail[called[-1] + 1 :]]
    named = [name for name in inside if not name.startswith("0x")]
    return named[0] if named else "without a name"


def operation(thread: ThreadDump) -> str:
    """Return what the innermost frames of `thread` do, "" where they show no operation."""
    if called := native_call(thread):
        return f"C call {called}"
    by_library = _in_library(thread.python_frames())
    if by_library:
        return by_library
    tail = thread.native_tail()
    if any(part in frame.function for part in _FOR_THE_GIL for frame in tail):
        return ""  # ready to go on, as soon as it gets the interpreter lock
    for part, name in _NATIVE:
        if any(part in frame.function for frame in tail):
            return name
    named = [frame for frame in tail if not frame.function.startswith("0x")]
    if thread.active is False and tail:
        return f"C call {named[-1].function if named else tail[-1].file.rpartition('/')[2]}"
    return ""


def _in_library(frames: tuple[StackFrame, ...]) -> str:
    """Return the operation that the outermost of the innermost library frames stands for."""
    found = ""
    for frame in reversed(frames):
        if not any(part in frame.file for part in _LIBRARY):
            break
        function = frame.function.rpartition(".")[2]
        name = _CLASSES.get((frame.file.rpartition("/")[2], function), "")
        if "." in frame.function and name:
            kind = frame.function.rpartition(".")[0].rpartition(".")[2]
            name = f"{kind}.{name.rpartition('.')[2]}" if kind not in {"", "_Event"} else name
        found = name or found
    return found


def innermost(frames: tuple[StackFrame, ...]) -> StackFrame | None:
    """Return the innermost Python frame of the program itself: the site to look at."""
    own = [
        frame
        for frame in frames
        if not frame.native and not any(part in frame.file for part in _LIBRARY)
    ]
    return own[-1] if own else None
