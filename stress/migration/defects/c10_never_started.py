"""C10. vCPUs that were never started count as running: pausing them waits for an answer that nobody gives.

Upstream: repaired by e4efd8a488: a flag that began unset, so that a pause before the first run hung.
1. main: builds the machine and does not start it.
2. migration: stops the guest, and waits for vCPU 0, which has no thread yet.
3. main: waits for the migration.
Fix: a vCPU is born stopped.
"""

from __future__ import annotations

from mig.cpus import Cpus
from stress.migration.defects.frame import Defect, Step


def all_stopped(self: Cpus) -> bool:
    """Whether no vCPU runs; those without a thread have not stopped."""
    return self.started and all(cpu.stopped for cpu in self.all)


DEFECT = Defect(
    __doc__,
    "not_started",
    "lost wake-up",
    "Migration.join",
    (Step(Cpus, "all_stopped", all_stopped, "08c21147"),),
)
