"""C03, H5. The run state is set after the wait for the vCPUs, and a resume does not look at it.

Upstream: repaired by f962cac4c2 (2020): a guest that reboots while it migrates.
1. migration: waits for the vCPUs; the last one wakes it.
2. source iothread: ends a short pause of its own, and resumes all vCPUs.
3. migration: has the big lock again, sees them running, and waits for ever.
Fix: set the state first, let a resume look at it, and let the waiter see that it was overtaken.
"""

from __future__ import annotations

from mig.designs.faults import StateAfterPause
from stress.migration.defects.frame import Defect

DEFECT = Defect(
    __doc__,
    "reset_meanwhile",
    "lost wake-up",
    "pause condition",
    design=StateAfterPause,
    also=(("lost wake-up", "Migration.join"), ("broken invariant", "guest stands still")),
    known="d839f150",
)
