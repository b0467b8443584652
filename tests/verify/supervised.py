"""Functions that the tests of the supervisor run in its workers; each does what a task's seed says."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

from verify.abc import UsageError
from verify.supervise.values import Json, Result, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FOR_EVER = 3600


def square(options: Mapping[str, Json]) -> Callable[[Task], Result]:
    """Square the seed."""
    return lambda task: Result(value=task.seed**2)


def planted(options: Mapping[str, Json]) -> Callable[[Task], Result]:
    """Crash at seed 111, exit at 333, hold the interpreter lock for ever at 777."""

    def step(task: Task) -> Result:
        if task.seed == 111:
            ctypes.string_at(0)
        if task.seed == 333:
            os._exit(7)
        if task.seed == 777:
            ctypes.PyDLL(None).sleep(FOR_EVER)
        return Result(value=task.seed)

    return step


def odd_one(options: Mapping[str, Json]) -> Callable[[Task], Result]:
    """Do what the option `deed` names at seed 2."""
    deed = str(options["deed"])

    def step(task: Task) -> Result:
        print("run", task.seed)
        if task.seed == 2:
            return DEEDS[deed]()
        return Result(value=os.getpid())

    return step


def fail() -> Result:
    sys.stderr.write("why\n")
    return Result(failed=True, message="no good")


def raise_plainly() -> Result:
    raise ValueError("odd")


def leave() -> Result:
    raise SystemExit(3)


def kill() -> Result:
    os.kill(os.getpid(), signal.SIGKILL)
    return Result()


def sleep() -> Result:
    time.sleep(FOR_EVER)
    return Result()


def stop() -> Result:
    os.kill(os.getpid(), signal.SIGSTOP)
    return Result()


def shut() -> Result:
    os.closerange(3, 256)
    time.sleep(FOR_EVER)
    return Result()


def shout() -> Result:
    for fd in range(3, 64):
        try:
            os.write(fd, b"not a message\n")
        except OSError:
            continue
    time.sleep(FOR_EVER)
    return Result()


def fork() -> Result:
    if not os.fork():
        time.sleep(FOR_EVER)
    os._exit(9)


def fork_twice_back() -> Result:
    os.fork()
    return Result(value=os.getpid())


def retire() -> Result:
    threading.Thread(target=time.sleep, args=(FOR_EVER,)).start()
    return Result(value=os.getpid(), retire=True)


def refuse() -> Result:
    raise UsageError("seed 2 is not to my taste; give another")


def child() -> Result:
    started = subprocess.Popen(["sleep", str(FOR_EVER)], start_new_session=True)
    print("child", started.pid, flush=True)
    time.sleep(FOR_EVER)
    return Result()


DEEDS: dict[str, Callable[[], Result]] = {
    "fail": fail, "raise": raise_plainly, "leave": leave, "kill": kill, "sleep": sleep, "stop": stop, "shut": shut,
    "shout": shout, "fork": fork, "fork twice back": fork_twice_back, "retire": retire, "refuse": refuse,
    "child": child,
}  # fmt: skip


def refuses(options: Mapping[str, Json]) -> Callable[[Task], Result]:
    """Take nothing."""
    raise UsageError("no such scenario; name another")


def broken(options: Mapping[str, Json]) -> Callable[[Task], Result]:
    """Fail before the first task."""
    raise ZeroDivisionError("at the start")
