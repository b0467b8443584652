"""H6, B11. The ramlist mutex stays locked on an error return, and its owner takes it again.

Upstream: introduced by b2a8658ef5, repaired by fb3409de22 (December 2012).
1. main: cancels, or the peer dies; the channel is in error.
2. migration: the walk returns with the mutex held.
3. migration: walks again before anybody looks at the error, and waits for itself, big lock held.
Fix: let go on every way out.
"""

from __future__ import annotations

from mig.designs.faults import RamlistMutexLeak
from stress.migration.defects.frame import Defect

DEFECT = Defect(
    __doc__,
    "cancelled",
    "self-deadlock",
    "RamList.mutex",
    design=RamlistMutexLeak,
    known="2299ccb0",
)
