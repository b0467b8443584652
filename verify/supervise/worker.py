"""The loop inside a worker process: `python -m verify.supervise.worker FD PARENT`.

Promises: tasks of a batch run in order on the main thread, and each has its own result line; what
was printed during a task that failed goes with its result; a heartbeat goes out while Python threads
can run at all; the process ends when its supervisor does.
Assumes: standard output and error are files opened for appending, which each task may cut to nothing.
Does not: survive what a task does to it. That is the supervisor's business.

The function named by the supervisor is called once, with the options; what it returns is called
with each task and returns a `Result`. `UsageError` from either is a refusal: the whole run ends.
"""

from __future__ import annotations

import ctypes
import faulthandler
import importlib
import os
import signal
import stat
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from verify import _real
from verify.abc import UsageError
from verify.backtraces import permission
from verify.supervise import wire
from verify.supervise.values import Fate, Json, Result

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from verify.supervise.values import Task

    Step = Callable[[Task], Result]
    Make = Callable[[Mapping[str, Json]], Step]

MOST_OUTPUT: Final = 65_536
"""Characters kept of each stream of a task that ended badly: the first eighth and the end."""
PR_SET_PDEATHSIG: Final = 1
STDOUT, STDERR = 1, 2


class Mouth:
    """Sends whole lines from several threads. The lock is a real one, and never taken by a signal handler."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._lock = _real.allocate_lock()

    def say(self, message: dict[str, Json]) -> None:
        """Send one message; a supervisor that is gone ends this process."""
        data = wire.line(message)
        with self._lock:
            try:
                self._sock.sendall(data)
            except OSError:
                os._exit(1)


def main(argv: list[str]) -> int:
    """Serve the supervisor, process `argv[2]`, at the other end of descriptor `argv[1]`."""
    end_with_parent(int(argv[2]))
    faulthandler.enable()  # a segmentation fault leaves its stack on standard error
    sock = _real.Socket(fileno=int(argv[1]))
    sock.set_inheritable(False)
    stream = sock.makefile("rb")
    mouth = Mouth(sock)
    order = _message(stream.readline())
    beat = order["heartbeat_s"]
    if isinstance(beat, int | float) and beat > 0:
        _real.start_new_thread(_heartbeat, (mouth, beat / 4))
    try:
        make = load(str(order["target"]))
        step = make(cast("dict[str, Json]", order["options"]))
    except UsageError as error:
        mouth.say({"refused": str(error)})
        return 2
    mouth.say({"ready": True})
    for text in stream:
        for task in wire.tasks_of(_message(text)):
            if not _serve(mouth, step, task):
                return 2
    return 0


def _message(text: bytes) -> dict[str, Json]:
    (message,) = wire.Lines().feed(text)
    return message


def load(target: str) -> Make:
    """Import `module:function`."""
    module, _, name = target.partition(":")
    found: object = getattr(importlib.import_module(module), name)
    if not callable(found):
        raise TypeError(f"{target} is not callable")
    return cast("Make", found)


def _heartbeat(mouth: Mouth, every_s: float) -> None:
    while True:
        _real.sleep(every_s)
        mouth.say({"alive": True})


def _serve(mouth: Mouth, step: Step, task: Task) -> bool:
    """Run one task and send what it came to; return False when it refused what it was given."""
    me = os.getpid()
    cut_output()
    began = _real.monotonic()
    try:
        result = step(task)
        fate = Fate.FAILED if result.failed else Fate.PASSED
    except UsageError as error:
        mouth.say({"refused": str(error)})
        return False
    except BaseException:  # noqa: BLE001 - SystemExit and KeyboardInterrupt are results of a task too
        result, fate = Result(message=traceback.format_exc().rstrip()), Fate.RAISED
    if os.getpid() != me:
        # The program forked and both sides came back: only the parent speaks for the task.
        os._exit(0)
    message: dict[str, Json] = {
        "number": task.number,
        "fate": str(fate),
        "seconds": _real.monotonic() - began,
        "message": shortened(result.message),
        "value": result.value,
        "retire": result.retire,
    }
    if fate is not Fate.PASSED:
        message["stdout"], message["stderr"] = (output(STDOUT), output(STDERR))
    mouth.say(message)
    return True


def cut_output() -> None:
    """Forget what was printed so far, where the streams are files."""
    flush()
    for descriptor in (STDOUT, STDERR):
        try:
            status = os.fstat(descriptor)
            if status.st_size and stat.S_ISREG(status.st_mode):
                os.ftruncate(descriptor, 0)
        except OSError:
            continue  # the program closed it


def output(descriptor: int) -> str:
    """Return what was printed to `descriptor` since the last cut, shortened in its middle."""
    flush()
    return read_output(Path(f"/proc/self/fd/{descriptor}"))


def read_output(path: Path) -> str:
    """Return the text of a file of output, shortened in its middle."""
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(MOST_OUTPUT)
            if size > MOST_OUTPUT:
                file.seek(size - MOST_OUTPUT)
                head = head[: MOST_OUTPUT // 8] + b"\n" + file.read(MOST_OUTPUT)
    except OSError:
        return ""
    return shortened(head.decode("utf-8", "replace"))


def shortened(text: str) -> str:
    """Return at most `MOST_OUTPUT` characters of `text`: its beginning and its end."""
    if len(text) <= MOST_OUTPUT:
        return text
    head = MOST_OUTPUT // 8
    return f"{text[:head]}\n[...]\n{text[head - MOST_OUTPUT :]}"


def flush() -> None:
    """Empty Python's own buffers of the two streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            continue  # None, closed, or replaced by the program


def end_with_parent(parent: int) -> None:
    """Ask the kernel to kill this process when `parent` ends; let a debugger look at it (Yama)."""
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    permission.allow()
    # 1. The parent ends. 2. This process asks for the signal: too late, it was never sent.
    if os.getppid() != parent:
        os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv))
