"""X04. The block sent last is remembered although nothing was sent: "same block" then means another one.

Upstream: repaired by 3fd3c4b37c (2015): illegal RAM offsets at the destination.
1. migration: reads a page between a vCPU's store and its mark, and sends it.
2. migration: finds the mark; the page has not changed, so nothing is sent, and its block counts as named.
3. migration: sends another page of that block without its name, behind one of another block.
Fix: remember the block when its record is made.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mig.ram import RamBlock
from mig.ram_save import RamSave
from mig.ram_xbzrle import DeltaSender
from stress.migration.defects.frame import Defect, Step


def delta_records(
    self: RamSave,
    deltas: DeltaSender,
    block: RamBlock,
    pages: NDArray[np.intp],
    data: NDArray[np.uint8],
) -> list[bytes]:
    """Records of pages; the block counts as named."""
    made = whole(self, deltas, block, pages, data)
    self._named = block
    return made


whole = RamSave._delta_records

DEFECT = Defect(
    __doc__,
    "deltas",
    "broken invariant",
    "memory equal",
    (Step(RamSave, "_delta_records", delta_records, "201c38cd"),),
    arguments={"writes": 2},
    also=(("broken invariant", "stream loads"),),
)
