"""Small programs on threads, time, drawn values and executors."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from bench.programs.micro.parts import Log, beside, micro
from verify import access, draw


@micro
def join_orders() -> object:
    """A child's child is joined, or not."""
    log = Log()

    def child() -> None:
        inner = threading.Thread(target=lambda: log.add("inner"))
        inner.start()
        if draw(2):
            inner.join()
        log.add("outer")

    beside(child, lambda: None)
    return sorted(map(str, log))


@micro
def alive_or_not() -> object:
    """Somebody looks whether a thread lives."""
    log = Log()
    thread = threading.Thread(target=lambda: access("x", write=True))
    thread.start()
    log.add(thread.is_alive())
    log.add(thread.is_alive())
    thread.join()
    return log


@micro
def join_timed() -> object:
    """A join that may time out."""
    log = Log()
    thread = threading.Thread(target=lambda: access("x", write=True))
    thread.start()
    thread.join(1)
    log.add(thread.is_alive())
    return log


@micro
def sleeps() -> object:
    """A sleep orders nothing."""
    log = Log()

    def write(name: str, seconds: float) -> None:
        time.sleep(seconds)
        access("log", write=True)
        log.add(name)

    beside(lambda: write("a", 1), lambda: write("b", 2))
    return log


@micro
def clocks() -> object:
    """Who reads the clock first."""
    seen: dict[str, float] = {}

    def read(name: str) -> None:
        seen[name] = time.monotonic()

    beside(lambda: read("a"), lambda: read("b"), lambda: None)
    return sorted(seen.items())


@micro
def left_behind() -> object:
    """A daemon may do nothing, one step or two before the end."""
    log = Log()

    def work() -> None:
        for _ in range(2):
            access("x", write=True)
            log.add("step")

    threading.Thread(target=work, daemon=True).start()
    access("y", write=True)
    return log


@micro
def fails_first() -> object:
    """One failure can hide the other."""

    def fail(name: str) -> None:
        access(name, write=True)
        raise ValueError(name)

    beside(lambda: fail("a"), lambda: fail("b"))
    return None


@micro
def executor_done() -> object:
    """A job is given to a pool, and asked about once; the pool is left as it is, and its worker waits for ever."""
    pool = ThreadPoolExecutor(1)
    return pool.submit(lambda: "a").done()


@micro
def executor_cancel() -> object:
    """A job is taken back, if nobody does it yet; the pool is left as it is, and its worker waits for ever."""
    pool = ThreadPoolExecutor(1)
    job = pool.submit(lambda: "done")
    return job.cancel()
