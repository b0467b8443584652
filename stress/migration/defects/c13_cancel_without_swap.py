"""C13. A cancel takes whatever the state is for the state that it expects.

Upstream: introduced beside f4410a5d99 (February 2013), repaired by 6f2b811a61 (2013): completed became cancelled.
1. monitor: sees an active migration.
2. migration: commits and hands everything over; the destination runs.
3. monitor: writes its state over that, and the source runs on, too.
Fix: look again when the state has moved between look and swap.
"""

from __future__ import annotations

from mig.designs.later import CancelWithoutSwap
from stress.migration.defects.frame import Defect

DEFECT = Defect(
    __doc__,
    "cancel_against_complete",
    "broken invariant",
    "one",
    design=CancelWithoutSwap,
    known="ec0de02a",
)
