"""A11, B07. Of two levels of dirty state only one is cleared: what was sent comes back with the next sync.

Upstream: repaired by 3143577d6a (2021), where skipping a free page cleared the private bit alone.
1. vcpu 0: stores to a page, and marks it.
2. migration: harvests the mark, leaves it where it is, and sends the page.
3. migration: at the next sync finds the same mark, and sends the page again.
Fix: whoever clears one level clears the other.
"""

from __future__ import annotations

import numpy as np

from mig.dirtylog import ByteLog, Harvest
from mig.dirtylog.accessor import MARKED
from mig.ram import RamBlock
from stress.migration.defects.frame import Defect, Step


def harvest(self: ByteLog, block: RamBlock) -> Harvest:
    """Take the marks and leave them."""
    lo, hi = block.first_page, block.first_page + block.pages
    if (listener := self.trace.listener) is not None:
        listener.access("dirty_log", lo, hi, False)
    seen = np.frombuffer(bytes(self._logs[block.name]), dtype=np.uint8)
    pages = np.flatnonzero(seen)
    return Harvest(pages, int(np.count_nonzero(seen[pages] == MARKED)))


DEFECT = Defect(
    __doc__,
    "harvest_against_write",
    "broken invariant",
    "dirty at sync",
    (Step(ByteLog, "harvest", harvest, "5deb7897"),),
    arguments={"pages": 2, "writes": 1},
)
