"""C20. The hold before the switch-over forgets what was posted just before it.

Upstream: a7b36b486d (2017) added the hold, e91d8951d5 and 8958338b10 (2020) its repairs: drained posts, a late cancel.
1. migration: has moved to the hold, and does not wait yet.
2. monitor: cancels, and ends the wait that has not begun.
3. migration: clears what may be left over from before, and waits for ever.
Fix: clear before the state is published, or look at the state again.
"""

from __future__ import annotations

from mig.designs.base import Steps
from stress.migration.defects.frame import Defect, Step


def hold(self: Steps) -> bool:
    """Clear the event, then wait."""
    self.migration.released.clear()
    return whole(self)


whole = Steps.hold

DEFECT = Defect(
    __doc__, "held", "lost wake-up", "Migration.join", (Step(Steps, "hold", hold, "b4644258"),)
)
