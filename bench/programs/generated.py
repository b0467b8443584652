"""Small random programs over locks, variables, conditions, events, semaphores, queues, time and threads.

A program is a list of operations for each of two or three threads, the first of which is the main one. What it comes
to is what each thread saw, and the last values. The same seed makes the same program everywhere.
"""

from __future__ import annotations

import queue
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from verify import access

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Op = tuple[str, int, list["Op"]]
    Listing = list[list[Op]]

T = TypeVar("T")

LEAVES = (
    "read", "write", "add", "read", "write", "set", "clear", "is_set", "wait", "wait_1s", "put", "get", "get_nowait",
    "up", "down", "down_nowait", "sleep", "yield", "clock", "locked", "qsize", "spawn",
)  # fmt: skip
BLOCKS = ("with", "with", "with", "try", "timed", "condition", "rlock")
IN_CONDITION = ("notify", "notify_all", "await", "await_1s", "read", "write")


class Dice:
    """Draws numbers by a linear congruence (Knuth's MMIX).

    A program of this package that imported `random` would have all of them seeded by their schedules.
    """

    def __init__(self, seed: int) -> None:
        """Begin at a seed."""
        self.state = seed * 0x9E3779B97F4A7C15 + 1

    def below(self, bound: int) -> int:
        """Draw a number below `bound`."""
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return (self.state >> 33) % bound

    def pick(self, things: Sequence[T]) -> T:
        """Draw one of several."""
        return things[self.below(len(things))]


def listing(seed: int) -> Listing:
    """Return the operations of each thread."""
    rng = Dice(seed)
    return [_ops(rng, 1 + rng.below(3), 0) for _ in range(rng.pick((2, 2, 3)))]


def _ops(rng: Dice, count: int, depth: int) -> list[Op]:
    return [_op(rng, depth) for _ in range(count)]


def _op(rng: Dice, depth: int) -> Op:
    which = rng.below(2)
    if depth < 2 and rng.below(100) < 35:
        kind = rng.pick(BLOCKS)
        inner = _ops(rng, rng.below(3), depth + 1)
        if kind == "condition":
            inner = [(rng.pick(IN_CONDITION), which, []) for _ in range(1 + rng.below(2))]
        return kind, which, inner
    kind = rng.pick(LEAVES)
    return kind, which, _ops(rng, 1, 3) if kind == "spawn" and depth < 3 else []


class Machine:
    """Carries a program out."""

    def __init__(self) -> None:
        """Make what the operations are on."""
        self.values = [0, 0]
        self.locks = [threading.Lock(), threading.Lock()]
        self.rlock = threading.RLock()
        self.conditions = [threading.Condition(), threading.Condition(self.locks[0])]
        self.events = [threading.Event(), threading.Event()]
        self.semaphore = threading.Semaphore(1)
        self.queue: queue.Queue[int] = queue.Queue(1)
        self.seen: dict[str, list[object]] = {}

    def __str__(self) -> str:
        """Say what was seen; to be asked when all threads have ended."""
        return f"{sorted(self.seen.items())} {self.values}"

    def run(self, programs: Listing) -> Machine:
        """Run the threads, to their ends but for those that they spawn."""
        threads = [
            threading.Thread(target=self._thread, args=(f"t{number}", ops))
            for number, ops in enumerate(programs[1:])
        ]
        for thread in threads:
            thread.start()
        self._thread("main", programs[0])
        for thread in threads:
            thread.join()
        return self

    def _thread(self, name: str, ops: list[Op]) -> None:
        log = self.seen[name] = []
        self._all(ops, name, log)

    def _all(self, ops: list[Op], name: str, log: list[object]) -> None:
        for kind, which, inner in ops:
            if kind in BLOCKS:
                self._block(kind, which, partial(self._all, inner, name, log), log)
            elif kind == "spawn":
                child = f"{name}.{len(log)}"
                threading.Thread(target=self._thread, args=(child, inner)).start()
            else:
                self._leaf(kind, which, log, len(name))

    def _block(self, kind: str, which: int, inner: Callable[[], None], log: list[object]) -> None:
        lock = self.locks[which]
        if kind == "with":
            with lock:
                inner()
        elif kind == "rlock":
            with self.rlock, self.rlock:
                inner()
        elif kind == "condition":
            with self.conditions[which]:
                inner()
        else:
            taken = lock.acquire(blocking=False) if kind == "try" else lock.acquire(timeout=1)
            log.append(taken)
            if taken:
                inner()
                lock.release()

    def _leaf(self, kind: str, which: int, log: list[object], value: int) -> None:
        if kind in {"read", "write", "add"}:
            self._variable(kind, which, log, value)
        elif kind in {"put", "get", "get_nowait", "qsize"}:
            self._queue(kind, log, value)
        else:
            result = self._calls(which)[kind]()
            log.append(result if isinstance(result, bool) else kind)

    def _variable(self, kind: str, which: int, log: list[object], value: int) -> None:
        if kind != "write":
            access(f"v{which}", write=False)
            log.append(self.values[which])
            value += self.values[which]
        if kind != "read":
            access(f"v{which}", write=True)
            self.values[which] = value

    def _queue(self, kind: str, log: list[object], value: int) -> None:
        if kind == "put":
            self.queue.put(value)
            return
        if kind == "qsize":
            log.append(self.queue.qsize())
            return
        try:
            log.append(self.queue.get(block=kind == "get"))
        except queue.Empty:
            log.append("empty")

    def _calls(self, which: int) -> dict[str, Callable[[], object]]:
        event, condition = self.events[which], self.conditions[which]
        return {
            "set": event.set, "clear": event.clear, "is_set": event.is_set, "wait": event.wait,
            "wait_1s": lambda: event.wait(1), "up": self.semaphore.release, "down": self.semaphore.acquire,
            "down_nowait": lambda: self.semaphore.acquire(blocking=False), "sleep": lambda: time.sleep(1),
            "yield": lambda: time.sleep(0), "clock": lambda: time.monotonic() > 1.5,
            "locked": self.locks[which].locked, "notify": condition.notify, "notify_all": condition.notify_all,
            "await": condition.wait, "await_1s": lambda: condition.wait(1),
        }  # fmt: skip


def program(seed: int) -> Callable[[], Machine]:
    """Return the program of a seed: called in a check, it returns what tells afterwards what it came to."""
    programs = listing(seed)
    return lambda: Machine().run(programs)
