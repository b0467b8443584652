"""C16. The guest stays stopped after a cancel: the last step knows completed and failed, and nothing else.

Upstream: repaired by 57225e5f32 (2018): the switch over ending states lacked the cancel.
1. migration: stops the guest.
2. monitor: cancels.
3. migration: ends; neither completed nor failed, so nothing is done about the guest.
Fix: whatever did not complete takes the guest back.
"""

from __future__ import annotations

from mig.designs.base import Steps
from mig.runstate import MigrationState
from stress.migration.defects.frame import Defect, Step


def end_locked(self: Steps) -> None:
    """Give the guest away when completed, take it back when failed."""
    self.machine.log.stop()
    if self.state.value is MigrationState.COMPLETED:
        self.cpus.state.follow("migration_done")
    elif self.state.value is MigrationState.FAILED:
        self.cpus.undo_stop()
    self.clean_up_later()


DEFECT = Defect(
    __doc__,
    "cancel_against_complete",
    "broken invariant",
    "one outcome",
    (Step(Steps, "end_locked", end_locked, "bf22d49a"),),
)
