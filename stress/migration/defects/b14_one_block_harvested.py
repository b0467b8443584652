"""B14. Only one of several address spaces is harvested.

Upstream: repaired by 9c1f8f4493 (2016): SMRAM differed after a migration.
1. vcpu 0: stores to a page of the second block, and marks it.
2. migration: harvests the first block only.
3. migration: sends what it found; the store is not among it.
Fix: harvest every block that can be stored to.
"""

from __future__ import annotations

from mig.ram_save import RamSave, Sync
from stress.migration.defects.frame import Defect, Step


def harvest(self: RamSave) -> Sync:
    """Move the marks of the first block into the bitmap."""
    with self.bitmap.lock:
        block = self.blocks[0]
        found = self.log.harvest(block)
        return Sync(self.bitmap.harvest(found.pages, block.first_page), found.marked)


DEFECT = Defect(
    __doc__,
    "device",
    "broken invariant",
    "final dirty set",
    (Step(RamSave, "harvest", harvest, "1afb0df3"),),
)
