"""B09. A lock is taken in an inner helper and again by one of its callers: that caller waits for itself.

Upstream: 63268c4970, 672159a97c (2021), 9d638407ef (2023): the lock moved in and out, and one caller was missed.
1. migration: the completion takes the ramlist mutex.
2. migration: the harvest inside it takes the same mutex, and waits for its own release.
Fix: take the lock at one level, and say in the name which.
"""

from __future__ import annotations

from mig.ram_save import RamSave, Sync
from stress.migration.defects.frame import Defect, Step


def harvest(self: RamSave) -> Sync:
    """Move all marks into the bitmap, with the mutex taken here."""
    newly = marked = 0
    with self.ram.mutex, self.bitmap.lock:
        for block in self.blocks:
            found = self.log.harvest(block)
            newly += self.bitmap.harvest(found.pages, block.first_page)
            marked += found.marked
    return Sync(newly, marked)


DEFECT = Defect(
    __doc__,
    "harvest_against_write",
    "self-deadlock",
    "RamList.mutex",
    (Step(RamSave, "harvest", harvest, "1afb0df3"),),
    arguments={"pages": 1, "writes": 1},
)
