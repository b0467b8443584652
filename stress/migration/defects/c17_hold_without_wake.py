"""C17. A cancel in the hold before the switch-over wakes nobody: the guest stands still for ever.

Upstream: repaired by 8958338b10 (2020) and a7b36b486d (2017).
1. migration: has stopped the guest, and waits for the user before the switch-over.
2. monitor: cancels: the state moves, the socket is shut; the wait is not ended.
3. migration: waits on; the guest is paused for good.
Fix: whatever ends a migration ends its waits.
"""

from __future__ import annotations

import errno

from mig.designs.base import Steps
from mig.runstate import UNDECIDED, MigrationState
from stress.migration.defects.frame import Defect, Step


def cancel_now(self: Steps) -> None:
    """Ask for the end, and wake the flusher only."""
    while (state := self.state.value) in UNDECIDED:
        if self.state.move(state, "cancel"):
            break
    if self.state.value in {MigrationState.CANCELLING, MigrationState.COMMITTED}:
        self.migration.cancel_requested = True
        self.channel.abort(OSError(errno.ECANCELED, "the migration was cancelled"))
        self.wake()


DEFECT = Defect(
    __doc__,
    "held",
    "lost wake-up",
    "Event.wait",
    (Step(Steps, "cancel_now", cancel_now, "e2d3a65a"),),
)
