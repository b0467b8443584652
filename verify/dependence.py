"""What each operation reads and writes: the one table from which happens-before, classes and DPOR are built.

Promises: two operations are independent only if they have no object in common, or both only read what they have in
common, or are on parts of it that do not overlap; then their order makes no difference to either, nor to whether
either can take effect. An operation that is not in the table depends on every other.

A lock, a semaphore, a queue is one object: who takes, gives back or finds it taken changes or reads it. A condition's
wait gives its lock back, and its waking takes it. Sockets that are connected are one object; what opens, closes
or waits for several is dependent with every operation on the network. A task's end is read by who joins it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable

    Key = Hashable
    Access = tuple[Key, bool]

TIME = "\0time"
"""The clock and the timers, as one object."""
NUMBERING = "\0numbers"
"""The numbers by which threads, futures and ports are told apart, as one object."""
NETWORK = "\0network"

LOCAL = frozenset({"begin", "yield", "sleep", "RLock.reacquire"})
READS = frozenset({
    "read", "Lock.locked", "Event.is_set", "Event.wait", "Queue.qsize", "Queue.empty", "Queue.full", "Queue.join",
    "SimpleQueue.qsize", "SimpleQueue.empty", "Thread.is_alive", "Thread.join", "Barrier.n_waiting", "Barrier.broken",
})  # fmt: skip
WRITES = frozenset({
    "write", "Lock.acquire", "Lock.try_acquire", "Lock.release", "RLock.acquire", "RLock.try_acquire", "RLock.release",
    "Event.set", "Event.clear", "Semaphore.acquire", "Semaphore.try_acquire", "Semaphore.release",
    "declared.acquire", "declared.share", "declared.release",
    "Barrier.wait", "Barrier.leave", "Barrier.reset", "Barrier.abort",
    "Queue.put", "Queue.get", "Queue.task_done", "Queue.shutdown", "SimpleQueue.put", "SimpleQueue.get",
})  # fmt: skip
ON_LINK = frozenset({
    "socket.send", "socket.try_send", "socket.recv", "socket.try_recv", "socket.shutdown",
})  # fmt: skip
ON_NETWORK = frozenset({
    "socket.bind", "socket.listen", "socket.connect", "socket.accept", "socket.try_accept", "socket.close",
    "Selector.select", "poll.poll", "epoll.poll",
})  # fmt: skip
TRIES = frozenset({
    "Lock.acquire", "Lock.try_acquire", "RLock.acquire", "RLock.try_acquire", "Semaphore.acquire",
    "Semaphore.try_acquire",
})  # fmt: skip
"""Those that change nothing where they fail."""
WAITS = frozenset({
    "Lock.acquire", "RLock.acquire", "Semaphore.acquire", "Event.wait", "Barrier.leave", "Queue.put", "Queue.get",
    "Queue.join", "SimpleQueue.get", "Thread.join", "Condition.wake", "Condition.timeout",
    "socket.send", "socket.recv", "socket.accept", "Selector.select", "poll.poll", "epoll.poll", "sleep",
})  # fmt: skip
"""Those that may have to wait for another operation first."""

_BESIDES: dict[str, tuple[Access, ...]] = {
    "Thread.start": ((NUMBERING, True),),
    **dict.fromkeys(ON_LINK, ((NETWORK, False),)),
    **dict.fromkeys(ON_NETWORK, ((NETWORK, True), (NUMBERING, True))),
}

NEEDS_FREE = frozenset({"Lock.acquire", "RLock.acquire", "Condition.wake"})
FREES = frozenset({"Lock.release", "RLock.release", "Condition.wait"})
"""None of the former can take effect before one of the latter on the same lock, unless its wait can end by time."""

WAIT, WAKE, TIMEOUT = "Condition.wait", "Condition.wake", "Condition.timeout"


def accesses(op: str, key: Key) -> tuple[Access, ...] | None:
    """Return what `op` on the object `key` reads (False) and writes (True); None if it may be anything."""
    if op in WRITES:
        return ((key, True),)
    if op in READS:
        return ((key, False),)
    if op.startswith("Condition."):
        return _of_condition(op, key)
    also = _BESIDES.get(op)
    if also is None:
        return () if op in LOCAL else None
    return ((key, True), *also)


def _of_condition(op: str, key: Key) -> tuple[Access, ...] | None:
    if not isinstance(key, tuple):
        return None
    condition, lock = key
    if op in {WAKE, TIMEOUT}:
        return ((condition, False), (lock, True))
    if op == WAIT:
        return ((condition, True), (lock, True))
    return ((condition, True),)


def whole(key: Key) -> tuple[Key, int, int]:
    """Return the object of a key and the part [lo, hi) of it, all of it where `hi` is 0."""
    if isinstance(key, tuple):
        thing, lo, hi = key
        return thing, lo, hi
    return key, 0, 0


def overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    """Say whether two parts [lo, hi) of one object have elements in common; `hi` 0 is the whole."""
    return not one[1] or not other[1] or (one[0] < other[1] and other[0] < one[1])


def conflict(one: Access, other: Access) -> bool:
    """Say whether two accesses depend on each other."""
    (key, write), (other_key, other_write) = one, other
    if not (write or other_write):
        return False
    if isinstance(key, tuple) and isinstance(other_key, tuple):
        return key[0] == other_key[0] and overlap(key[1:], other_key[1:])
    return key == other_key
