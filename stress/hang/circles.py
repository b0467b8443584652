"""Threads that make operations and get nowhere: the signs of a livelock.

Promises: pure. A thread goes round in circles when it was refused a lock several times at one place, was
never given it there, and those locks are ones that other such threads take meanwhile: each makes way
for the other. A thread whose waits only time out polls: that is no progress, and no livelock either.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from verify.observe.snapshot import Entry

__all__ = ["Circle", "circles", "only_polls"]

LEAST: Final = 3
"""Refusals at one place before a thread is suspected."""
_TAKES: Final = frozenset(
    f"{kind}.{how}"
    for kind in ("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore")
    for how in ("acquire", "try_acquire")
)


class Circle(NamedTuple):
    """A thread that was refused `object` at `site` `refusals` times in the entries looked at."""

    slot: int
    object: int
    site: str
    refusals: int


def circles(entries: Iterable[Entry]) -> dict[int, Circle]:
    """Return the threads of a mutual livelock, by slot; empty where there is none."""
    refused: Counter[tuple[int, int, str]] = Counter()
    taken: set[tuple[int, int, str]] = set()
    takers: dict[int, set[int]] = {}
    for entry in entries:
        if entry.operation not in _TAKES:
            continue
        site = f"{entry.site.file}:{entry.site.line}"
        key = (entry.slot, entry.object, site)
        if entry.result is False:
            refused[key] += 1
        else:
            taken.add(key)
            takers.setdefault(entry.object, set()).add(entry.slot)
    found = {
        slot: Circle(slot, thing, site, count)
        for (slot, thing, site), count in refused.items()
        if count >= LEAST and (slot, thing, site) not in taken
    }
    while True:
        alone = [
            slot
            for slot, circle in found.items()
            if not (takers.get(circle.object, set()) & found.keys()) - {slot}
        ]
        if not alone:
            return found
        for slot in alone:
            del found[slot]


def only_polls(entries: Iterable[Entry]) -> frozenset[int]:
    """Return the threads all of whose operations timed out or were refused."""
    results: dict[int, bool] = {}
    for entry in entries:
        results[entry.slot] = results.get(entry.slot, True) and entry.result is False
    return frozenset(slot for slot, polls in results.items() if polls)
