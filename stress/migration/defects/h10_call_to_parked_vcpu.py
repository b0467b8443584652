"""H10. The completion asks every vCPU for something, and a vCPU that is parked serves no queue.

Upstream: candidate; run_on_cpu and cpu_synchronize_all_states at the start of the completion.
1. migration: has stopped the guest, and asks vCPU 0 for its registers.
2. vcpu 0: is parked, wakes up, sees that it is stopped, and sleeps again.
3. migration: waits for an answer, for ever.
Fix: a parked vCPU looks at its queue before it sleeps.
"""

from __future__ import annotations

from mig.designs.base import Steps
from stress.migration.defects.frame import Defect, Step


def switch_over(self: Steps) -> bool:
    """Ask each vCPU, then go on."""
    for cpu in self.cpus.all:
        cpu.kicked = True
        cpu.halt_cond.notify_all()
        while cpu.kicked and cpu.stopped:
            self.cpus.pause_cond.wait()
    return whole(self)


whole = Steps.switch_over

DEFECT = Defect(
    __doc__,
    "migration",
    "lost wake-up",
    "Migration.join",
    (Step(Steps, "switch_over", switch_over, "a3f9866b"),),
    arguments={"vcpus": 1, "pages": 2},
)
