"""B15. Marks are cleared by slots, and a slot covers more pages than were seen.

Upstream: repaired by 84516e5b8d (2019): one clear went to several memory slots; 39b796f28c (2011) lost bits alike.
1. migration: sees a mark on the first page of a slot of two.
2. vcpu 1: stores to the other page, and marks it.
3. migration: clears the slot, that mark with it.
Fix: clear what was seen and nothing beside it.
"""

from __future__ import annotations

import numpy as np

from mig.dirtylog import ByteLog, Harvest
from mig.dirtylog.accessor import CLEAN, MARKED
from mig.ram import RamBlock
from stress.migration.defects.frame import Defect, Step


def harvest(self: ByteLog, block: RamBlock) -> Harvest:
    """Take the marks; clear the slots that had any."""
    lo, hi = block.first_page, block.first_page + block.pages
    listener = self.trace.listener
    if listener is not None:
        listener.access("dirty_log", lo, hi, False)
    log = self._logs[block.name]
    seen = np.frombuffer(bytes(log), dtype=np.uint8)
    pages = np.flatnonzero(seen)
    if listener is not None:
        listener.access("dirty_log", lo, hi, True)
    for page in pages - pages % 2:
        log[page : page + 2] = bytes((CLEAN,)) * len(log[page : page + 2])
    return Harvest(pages, int(np.count_nonzero(seen[pages] == MARKED)))


DEFECT = Defect(
    __doc__,
    "harvest_against_write",
    "broken invariant",
    "final dirty set",
    (Step(ByteLog, "harvest", harvest, "5deb7897"),),
    arguments={"vcpus": 2, "pages": 2},
)
