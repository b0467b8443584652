"""C21. A machine whose guest has gone can be told to migrate again.

Upstream: repaired by 36d0fe6516 (2020): migrating from postmigrate aborted.
1. monitor: cancels too late; the first attempt completes.
2. monitor: begins a second attempt; nothing asks where the guest is.
3. migration: stops a guest that runs elsewhere.
Fix: refuse, and name the run state.
"""

from __future__ import annotations

from mig.machine import Machine, MachineError
from stress.migration.defects.frame import Defect, Step


def check_migratable(self: Machine) -> None:
    """Refuse a second migration at a time, and nothing else."""
    if self.migrating:
        raise MachineError("a migration is under way; cancel it or wait for its end")


DEFECT = Defect(
    __doc__,
    "again_after_cancel",
    "broken invariant",
    "nothing to migrate",
    (Step(Machine, "check_migratable", check_migratable, "0998104a"),),
)
