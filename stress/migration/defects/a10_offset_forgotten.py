"""A10, B06. The harvest of a block forgets where the block lies: its marks go to the pages of another one.

Upstream: repaired by 084140bd49 (2017): a block-relative index used on the global map.
1. vcpu 0: stores to a page of the second block, and marks it.
2. migration: harvests the second block, and sets the bits of the first.
3. migration: sends pages of the first block again; the store is never sent.
Fix: add the block's first page to every index.
"""

from __future__ import annotations

from mig.ram_save import RamSave, Sync
from stress.migration.defects.frame import Defect, Step


def harvest(self: RamSave) -> Sync:
    """Move all marks into the bitmap, as if every block began at page 0."""
    newly = marked = 0
    with self.bitmap.lock:
        for block in self.blocks:
            found = self.log.harvest(block)
            newly += self.bitmap.harvest(found.pages)
            marked += found.marked
    return Sync(newly, marked)


DEFECT = Defect(
    __doc__,
    "device",
    "broken invariant",
    "final dirty set",
    (Step(RamSave, "harvest", harvest, "1afb0df3"),),
)
