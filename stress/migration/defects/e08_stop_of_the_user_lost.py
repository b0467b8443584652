"""E08. A migration that comes to nothing starts a guest that the user has stopped meanwhile.

Upstream: none of the catalogue's; beside C16 and C24, where the stop was not the migration's either.
1. migration: stops the guest.
2. main: stops it, too; the run state stays the migration's.
3. main: cancels.
4. migration: takes its own stop back, and the guest runs.
Fix: a stop by the user takes the resume back.
"""

from __future__ import annotations

from mig.cpus import Cpus
from stress.migration.defects.frame import Defect, Step


def vm_stop(self: Cpus, event: str) -> bool:
    """Stop, and want the resume that was wanted before."""
    wanted = self.resume_wanted
    stopped = whole(self, event)
    if event == "stop":
        self.resume_wanted = wanted
    return stopped


whole = Cpus.vm_stop

DEFECT = Defect(
    __doc__,
    "user_stops",
    "broken invariant",
    "stays stopped",
    (Step(Cpus, "vm_stop", vm_stop, "5a9b2abb"),),
)
