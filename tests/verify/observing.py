"""What the tests of the flight recorder share: looking for a moment, and things to record."""

from __future__ import annotations

import queue
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from verify import _real
from verify.observe.flight import read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from verify.observe.snapshot import Snapshot, ThreadState

LIMIT_S = 30.0


def until(path: Path, found: Callable[[Snapshot], bool]) -> Snapshot:
    """Return the first snapshot that has what is looked for."""
    limit = _real.monotonic() + LIMIT_S
    while True:
        taken = read(path)
        if found(taken):
            return taken
        assert _real.monotonic() < limit, taken.threads
        _real.sleep(0.002)


def named(taken: Snapshot, name: str) -> ThreadState | None:
    """Return the thread of that name."""
    return next((thread for thread in reversed(taken.threads) if thread.name == name), None)


def blocked(path: Path, name: str, operation: str) -> tuple[Snapshot, ThreadState]:
    """Return the moment in which the thread of that name waits in that operation."""

    def found(taken: Snapshot) -> bool:
        thread = named(taken, name)
        return (
            thread is not None
            and thread.waiting is not None
            and thread.waiting.operation == operation
        )

    taken = until(path, found)
    thread = named(taken, name)
    assert thread is not None
    return taken, thread


def label(taken: Snapshot, number: int) -> str:
    """Return what an object is called."""
    thing = taken.object(number)
    return thing.label if thing is not None else ""


def lines(taken: Snapshot, name: str) -> list[tuple[str, str, bool | None]]:
    """Return a thread's entries."""
    thread = named(taken, name)
    assert thread is not None
    return [
        (entry.operation, label(taken, entry.object), entry.result)
        for entry in taken.ring
        if entry.slot == thread.slot
    ]


class Things:
    """One of each."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.again = threading.RLock()
        self.cond = threading.Condition()
        self.flag = threading.Event()
        self.permits = threading.BoundedSemaphore(1)
        self.barrier = threading.Barrier(2)
        self.jobs: queue.Queue[int] = queue.Queue(1)
        self.simple: queue.SimpleQueue[int] = queue.SimpleQueue()


def use(things: Things) -> None:
    """Do a little of everything."""
    with things.lock:
        things.lock.acquire(blocking=False)
    with things.again, things.again:
        pass
    with things.cond:
        things.cond.notify()
        things.cond.wait(0)
        things.cond.notify_all()
    things.flag.set()
    things.flag.wait()
    things.flag.clear()
    with things.permits:
        things.permits.acquire(blocking=False)
    things.jobs.put(1)
    things.jobs.get()
    things.jobs.task_done()
    with suppress(queue.Empty):
        things.jobs.get(block=False)
    things.simple.put(1)
    things.simple.get()
