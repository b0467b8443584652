"""C05. The loop that stops the vCPUs goes over an iterator that an earlier loop has used up.

Upstream: repaired by 1085819368 (2013): pausing from a vCPU thread stopped nobody.
1. migration: looks whether any vCPU runs, which takes the first of them off the iterator.
2. migration: asks the rest to stop.
3. vcpu 0: was never asked, and runs on; the migration waits for it.
Fix: go over the list, twice.
"""

from __future__ import annotations

from mig.cpus import Cpus
from stress.migration.defects.frame import Defect, Step


def request_stop(self: Cpus) -> None:
    """Ask every running vCPU to stop, but for the one that was looked at."""
    running = (cpu for cpu in self.all if not cpu.stopped)
    if any(running):
        for cpu in running:
            cpu.stop = True
            self.kick(cpu)


DEFECT = Defect(
    __doc__,
    "stop_handshake",
    "lost wake-up",
    "pause condition",
    (Step(Cpus, "request_stop", request_stop, "b743a655"),),
)
