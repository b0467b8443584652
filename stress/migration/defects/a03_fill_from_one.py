"""A3, B02. The private bitmap is filled from bit 1 on: page 0 is not sent in the first pass.

Upstream: introduced with the bitmap (c6bf8e0e0c), repaired by 7ec81e56ed (4 December 2012).
1. migration: fills the bits from 1 on; page 0 stays clean.
2. migration: walks all dirty pages; page 0 is not among them.
3. incoming: finds that page 0 never came.
Fix: fill from the first page of each block.
"""

from __future__ import annotations

from mig.ram_save import RamSave
from stress.migration.defects.frame import Defect, Step


def fill(self: RamSave) -> None:
    """Make every page but the first of each block dirty."""
    with self.bitmap.lock:
        for block in self.blocks:
            self.bitmap.set_run(block.first_page + 1, block.first_page + block.pages)


DEFECT = Defect(
    __doc__,
    "hot_add_against_walk",
    "broken invariant",
    "every page sent",
    (Step(RamSave, "fill", fill, "5a1a553f"),),
    arguments={"pages": 2},
)
