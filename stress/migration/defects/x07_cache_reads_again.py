"""X07. What enters the delta cache is read from the page again, after it was sent.

Upstream: 34ab9e9743 (2018) for compression, 6d3cb1f970 (2014) for the cache: a page changed while it was worked on.
1. migration: encodes a page and sends it.
2. vcpu 0: stores to that page, and marks it.
3. migration: enters the page as it is now into the cache.
4. migration: finds the mark, and no difference between page and cache; the store is never sent.
Fix: copy the page first; send, and enter, the copy.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mig.ram import PAGE_SIZE, RamBlock
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
    """Records of pages; then the cache takes the pages as they are."""
    made = whole(self, deltas, block, pages, data)
    numbers = pages + block.first_page
    if (listener := self.trace.listener) is not None:
        listener.access("guest_page", int(numbers[0]), int(numbers[-1]) + 1, False)
    deltas._held().put(numbers, block.array.reshape(-1, PAGE_SIZE)[pages], len(self.syncs))
    return made


whole = RamSave._delta_records

DEFECT = Defect(
    __doc__,
    "deltas",
    "broken invariant",
    "memory equal",
    (Step(RamSave, "_delta_records", delta_records, "201c38cd"),),
    arguments={"writes": 2},
)
