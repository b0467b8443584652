"""B04. A page is marked before it is stored to: a harvest and a read in between lose the store.

Upstream: repaired by 9458a9a1df (2018): rare corruption of guests run by TCG.
1. vcpu 0: marks page 0.
2. migration: harvests the mark, reads page 0 and sends it.
3. vcpu 0: stores to page 0.
4. migration: no mark tells of the store; the destination never sees it.
Fix: store first and mark after, so that whoever clears the mark reads later than the store.
"""

from __future__ import annotations

from mig.dirtylog import ByteLog
from mig.ram import PAGE_SIZE, RamBlock
from stress.migration.defects.frame import Defect, Step


def store(self: ByteLog, block: RamBlock, address: int, data: bytes) -> None:
    """Mark, then write."""
    page = address // PAGE_SIZE
    self.mark(block, page)
    if (listener := self.trace.listener) is not None:
        first = block.first_page + page
        listener.access("guest_page", first, first + 1, True)
    block.view[address : address + len(data)] = data


DEFECT = Defect(
    __doc__,
    "harvest_against_write",
    "broken invariant",
    "final dirty set",
    (Step(ByteLog, "store", store, "0ff90786"),),
)
