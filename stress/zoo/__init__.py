"""Fourteen programs that hang, each in its own way, and the verdict that a hang report owes them.

Promises: every program but `slow` hangs in every run, whatever the scheduler does: where a hang
depends on the interleaving, events bring that interleaving about. `slow` ends by itself. The programs
know nothing of the toolkit; `python -m stress.zoo NAME` runs one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stress.zoo import locks, others

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ZOO", "Entry"]


class Entry(NamedTuple):
    """A program, the verdict it owes, and a word that the cause must contain."""

    program: Callable[[], None]
    verdict: str
    cause: str


ZOO: dict[str, Entry] = {
    "lock_cycle": Entry(locks.lock_cycle, "deadlock", "wait for each other"),
    "condition": Entry(locks.condition, "lost wake-up", "while nobody waited"),
    "gil": Entry(others.gil, "GIL held", "interpreter lock"),
    "c_call": Entry(others.c_call, "blocked I/O", "C call"),
    "socket_read": Entry(others.socket_read, "blocked I/O", "recv"),
    "queue": Entry(locks.empty_queue, "lost wake-up", "Queue.get"),
    "join_cycle": Entry(locks.join_cycle, "deadlock", "Thread.join"),
    "dead_owner": Entry(locks.dead_owner, "lock held by a dead thread", "has ended"),
    "rlock": Entry(locks.rlock, "deadlock", "wait for each other"),
    "semaphore": Entry(locks.semaphore, "deadlock", "Semaphore"),
    "barrier": Entry(locks.barrier, "lost wake-up", "Barrier"),
    "livelock": Entry(others.livelock, "livelock", "refused"),
    "pool": Entry(others.pool, "deadlock", "pool"),
    "slow": Entry(others.slow, "merely slow", ""),
}
"""By name, in the order of the documentation."""
