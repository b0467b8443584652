"""E09. A kick sets its flag and does not wake a vCPU that sleeps.

Upstream: bd1f7ff4b2 (2019): a vCPU asleep for its throttle made a stop slow; here it sleeps for good.
1. vcpu 0: has nothing to do, and idles.
2. migration: asks it to stop, and kicks it.
3. vcpu 0: sleeps on; the migration waits for its answer.
Fix: notify the condition on which it idles.
"""

from __future__ import annotations

from mig.cpus import Cpus, Vcpu
from stress.migration.defects.frame import Defect, Step


def kick(_: Cpus, cpu: Vcpu) -> None:
    """Have a running vCPU look at its flags."""
    cpu.kicked = True


DEFECT = Defect(
    __doc__,
    "stop_handshake",
    "lost wake-up",
    "pause condition",
    (Step(Cpus, "kick", kick, "b60be91b"),),
)
