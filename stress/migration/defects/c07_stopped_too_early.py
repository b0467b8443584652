"""C07. A vCPU counts as stopped from the moment it is asked to stop.

Upstream: repaired by 0ec7e6779f (2019): "stopped" was set before the vCPU had really stopped.
1. migration: asks vCPU 0 to stop and sets its flag at once.
2. migration: sees every vCPU stopped, and completes.
3. vcpu 0: still inside the guest, stores to a page.
Fix: the vCPU itself says that it has stopped, when it has left the guest.
"""

from __future__ import annotations

from mig.cpus import Cpus
from stress.migration.defects.frame import Defect, Step


def request_stop(self: Cpus) -> None:
    """Ask, and take it for done."""
    for cpu in self.all:
        if not cpu.stopped:
            cpu.stopped = True
            self.kick(cpu)


DEFECT = Defect(
    __doc__,
    "migration",
    "broken invariant",
    "guest stands still",
    (Step(Cpus, "request_stop", request_stop, "b743a655"),),
    arguments={"vcpus": 1, "pages": 2},
    also=(("broken invariant", "equal"), ("broken invariant", "final dirty set")),
)
