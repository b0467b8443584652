"""B10. The bitmap lock stays locked on an error return.

Upstream: introduced with the lock's early return, repaired by 0983125b40 (2023); sister of fb3409de22.
1. main: cancels, or the peer dies; the channel is in error.
2. migration: the walk takes the bitmap lock, sees the error and returns with it.
3. migration: ends, and the lock is held for ever.
Fix: let go on every way out.
"""

from __future__ import annotations

from mig.ram_save import RamSave
from stress.migration.defects.frame import Defect, Step


def iterate(self: RamSave) -> list[bytes]:
    """Body of a PART section; after an error the bitmap lock stays locked."""
    with self.ram.mutex:
        self.bitmap.lock.acquire()
        if self.channel.error is not None:
            return []
        self.bitmap.lock.release()
        return self.portion()


DEFECT = Defect(
    __doc__,
    "cancelled",
    "broken invariant",
    "locks free at the end",
    (Step(RamSave, "iterate", iterate, "687819d9"),),
)
