"""B12. The block list is walked without its mutex.

Upstream: repaired by 9c339485f0 (January 2013): the completion synced outside the ramlist mutex.
1. migration: takes the next dirty pages of a block.
2. monitor: unplugs that block.
3. migration: reads memory that is not the guest's any more, and sends it under a name that is gone.
Fix: hold the mutex for as long as the list is used, and look at its version.
"""

from __future__ import annotations

from mig.designs.later import WalkWithoutMutex
from stress.migration.defects.frame import Defect

DEFECT = Defect(
    __doc__,
    "hot_add_against_walk",
    "broken invariant",
    "no stale block",
    design=WalkWithoutMutex,
    known="0af298e2",
    also=(("broken invariant", "every page sent"),),
)
