"""A4, B03. The harvest reads the whole log and then clears the whole log: marks set in between are lost.

Upstream: c6bf8e0e0c's loop; repaired by 6c279db8ee and ece7931817 (2012), made atomic by 5f2cb94688 (2014).
1. migration: copies the marks of a block.
2. vcpu 0: stores to a page that carried no mark, and marks it.
3. migration: clears the log of the whole block, that mark with it.
Fix: clear exactly the marks that were seen.
"""

from __future__ import annotations

import numpy as np

from mig.dirtylog import ByteLog, Harvest
from mig.dirtylog.accessor import CLEAN, MARKED
from mig.ram import RamBlock
from stress.migration.defects.frame import Defect, Step


def harvest(self: ByteLog, block: RamBlock) -> Harvest:
    """Copy all marks, then clear everything."""
    lo, hi = block.first_page, block.first_page + block.pages
    listener = self.trace.listener
    if listener is not None:
        listener.access("dirty_log", lo, hi, False)
    seen = np.frombuffer(bytes(self._logs[block.name]), dtype=np.uint8)
    pages = np.flatnonzero(seen)
    if listener is not None:
        listener.access("dirty_log", lo, hi, True)
    np.frombuffer(self._logs[block.name], dtype=np.uint8)[:] = CLEAN
    return Harvest(pages, int(np.count_nonzero(seen[pages] == MARKED)))


DEFECT = Defect(
    __doc__,
    "harvest_against_write",
    "broken invariant",
    "final dirty set",
    (Step(ByteLog, "harvest", harvest, "5deb7897"),),
)
