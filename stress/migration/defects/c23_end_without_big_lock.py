"""C23. One path ends the migration without the big lock.

Upstream: repaired by 68b88468f6 (2021), for the completion of a postcopy.
1. monitor: cancels.
2. migration: takes the guest back without the big lock.
3. vcpu 0: waits on a condition of that lock, which nobody may notify without it.
Fix: every path that touches the run state holds the big lock.
"""

from __future__ import annotations

from mig.designs.thread import Thread
from stress.migration.defects.frame import Defect, Step


def end(self: Thread) -> None:
    """Give the guest away or take it back."""
    self.end_locked()


DEFECT = Defect(
    __doc__,
    "cancel_against_complete",
    "uncaught exception",
    "un-acquired lock",
    (Step(Thread, "end", end, "a73d5ff4"),),
)
