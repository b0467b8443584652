"""H9. A cancel cleans up at once, and the migration thread is not joined.

Upstream: candidate for v1 (a detached thread); repaired by bb1fadc444 (clean-up that joins) and f4410a5d99.
1. migration: has stopped the guest and writes.
2. monitor: cancels, closes the channel and tells everybody that it is over.
3. main: sees the end; the guest stands still until the thread comes to its last step.
Fix: only the thread ends itself; the clean-up joins it.
"""

from __future__ import annotations

from mig.designs.base import Steps
from mig.runstate import UNDECIDED
from stress.migration.defects.frame import Defect, Step


def cancel_now(self: Steps) -> None:
    """End it here and now."""
    while (state := self.state.value) in UNDECIDED:
        if self.state.move(state, "cancel"):
            self.channel.abort(OSError("cancelled"))
            self.channel.close()
            self.migration.finished_up()


DEFECT = Defect(
    __doc__,
    "cancel_against_complete",
    "broken invariant",
    "one outcome",
    (Step(Steps, "cancel_now", cancel_now, "e2d3a65a"),),
)
