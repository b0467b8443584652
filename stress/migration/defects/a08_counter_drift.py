"""A8. The counter of dirty pages counts marks, not pages newly dirty, and drifts from the bitmap.

Upstream: 5fda043f9c (10 August 2012) repaired another cause of the same drift, uninitialised bytes of the map.
1. vcpu 0: stores to a page that is still dirty in the private bitmap.
2. migration: the harvest adds that page to the counter again.
3. migration: the walk clears the page once; the counter never comes back to zero.
Fix: count what changed from clean to dirty.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mig.bitmap import Bitmap
from stress.migration.defects.frame import Defect, Step


def harvest(self: Bitmap, pages: NDArray[np.intp], first: int = 0) -> int:
    """Mark pages, and count them all."""
    before = self.count
    newly = sum(self.set(first + int(page)) for page in pages)
    self.count = before + len(pages)
    return newly


DEFECT = Defect(
    __doc__,
    "harvest_against_write",
    "broken invariant",
    "bitmap counter",
    (Step(Bitmap, "harvest", harvest, "de865c7f"),),
    arguments={"pages": 2, "writes": 1},
)
