"""What an operation touches: the checker's own table of which operations depend on each other.

Promises: two operations whose footprints are `apart` commute, and neither decides whether the other can take effect.
An operation that the table does not know has no footprint, and the checker then refuses to judge.
Assumes: the keys that the runtime gives to objects tell them apart within one execution (ends of one connection share
theirs, for what is done at one end shows at the other). Keys mean nothing in another execution.
Does not: import anything of the search, which has a table of its own (`verify.dependence`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from verify.primitives.conditions import ConditionState
from verify.primitives.selecting import Selector
from verify.runtime.naming import Holdable, Named

if TYPE_CHECKING:
    from collections.abc import Hashable


class Place(NamedTuple):
    """A part of an object: elements [lo, hi), all of it when `hi` is 0; and whether it is changed."""

    key: Hashable
    write: bool
    lo: int = 0
    hi: int = 0


Footprint = tuple[Place, ...]

NOTHING: Final = frozenset({"begin", "yield", "sleep", "poll", "Thread.start", "RLock.reacquire"})
"""Touch nothing that another thread could change; starting, ending and the clock are told apart from operations."""
READS: Final = frozenset(
    {
        "read", "Lock.locked", "Event.is_set", "Event.wait", "Queue.qsize", "Queue.empty", "Queue.full", "Queue.join",
        "SimpleQueue.qsize", "SimpleQueue.empty", "Barrier.n_waiting", "Barrier.broken", "Barrier.parties",
        "Thread.join", "Thread.is_alive",
    }
)  # fmt: skip
WRITES: Final = frozenset(
    {
        "write", "Lock.acquire", "Lock.release", "RLock.acquire", "RLock.release",
        "Semaphore.acquire", "Semaphore.release", "Event.set", "Event.clear",
        "Queue.get", "Queue.put", "Queue.task_done", "Queue.shutdown", "SimpleQueue.put", "SimpleQueue.get",
        "socket.send", "socket.try_send", "socket.recv", "socket.try_recv", "socket.shutdown",
    }
)  # fmt: skip
TRIES: Final = frozenset({"Lock.try_acquire", "RLock.try_acquire", "Semaphore.try_acquire"})
"""Change what they are on only when they succeed."""
MAY_FAIL: Final = TRIES | {"Lock.acquire", "RLock.acquire", "Semaphore.acquire"}
FAMILIES: Final = ("Barrier.", "Future.")
"""Everything else on these objects counts as a change."""
CHANGES_LOCK: Final = {
    "Condition.wait": True, "Condition.wake": True, "Condition.timeout": True,
    "Condition.notify": False, "Condition.notify_all": False,
}  # fmt: skip
"""The operations on a condition, and whether they change its lock, too."""
OF_THE_NETWORK: Final = frozenset(
    {
        "socket.bind", "socket.listen", "socket.connect", "socket.accept", "socket.try_accept", "socket.close",
    }
)  # fmt: skip
NETWORK, TIME, NUMBERING = "\0network", "\0time", "\0numbering"
"""Listeners and ports; the clock and the timers; the numbers that threads and futures are told apart by."""

NOTIFIES: Final = frozenset({"Condition.notify", "Condition.notify_all"})
GIVES_UP: Final = frozenset({"Lock.release", "RLock.release", "Condition.wait"})
NEEDS_FREE: Final = frozenset(
    {"Lock.acquire", "RLock.acquire", "Condition.wake", "Condition.timeout"}
)
"""Cannot take effect while another task holds the lock."""


def end_of(path: str) -> str:
    """Return the key of what a task changes by ending, and a join or `is_alive` reads."""
    return f"\0end of {path}"


def footprint(op: str, target: object, *, failed: bool = False) -> Footprint | None:
    """Return what `op` on `target` touches; `failed`: it did not succeed. None for an unknown operation."""
    if op in CHANGES_LOCK:
        return _of_condition(op, target)
    if op == "Selector.select":
        return _of_selector(target)
    if op in READS or (failed and op in MAY_FAIL):
        return (_part(target, write=False),)
    if op in WRITES or op in TRIES or op.startswith(FAMILIES):
        return (_part(target, write=True),)
    if op in OF_THE_NETWORK:
        return Place(NETWORK, write=True), _part(target, write=True)
    return () if op in NOTHING else None


def _part(target: object, *, write: bool) -> Place:
    path = getattr(target, "path", None)
    if isinstance(path, str):
        return Place(end_of(path), write)  # a task
    key = getattr(target, "key", target)
    if isinstance(key, tuple) and isinstance(key[0], str):
        whole, lo, hi = key
        return Place(whole, write, lo, hi)
    return Place(key, write)


def _of_condition(op: str, target: object) -> Footprint | None:
    if not isinstance(target, ConditionState) or not isinstance(target.lock, Named):
        return None
    return (
        Place(target.name, write=True),
        Place(target.lock.key, write=CHANGES_LOCK[op]),
    )


def _of_selector(target: object) -> Footprint | None:
    if not isinstance(target, Selector) or target.real is not None:
        return None
    places = [Place(target.key, write=True)]
    for made in target.keys:
        places.append(Place(made.key, write=False))
        if made.rx is None:
            places.append(Place(NETWORK, write=False))
    return tuple(places)


def apart(one: Footprint, other: Footprint) -> bool:
    """Say whether operations with these footprints commute: nothing that one changes is touched by the other."""
    return not any(_meet(mine, yours) for mine in one for yours in other)


def _meet(mine: Place, yours: Place) -> bool:
    if mine.key != yours.key or not (mine.write or yours.write):
        return False
    if not mine.hi or not yours.hi:
        return True
    return mine.lo < yours.hi and yours.lo < mine.hi


def gives_up(op: str, target: object) -> bool:
    """Say whether the operation, about to take effect, gives up a lock that is held."""
    lock = target.lock if isinstance(target, ConditionState) else target
    return op in GIVES_UP and isinstance(lock, Holdable) and lock.holder is not None
