"""C01. The stop of the guest is a request, and the caller goes on as if it were done.

Upstream: candidate for v1: only the iothread stopped in place; aa723c2314 (2012) made every other thread wait.
1. migration: asks every vCPU to stop, and does not wait.
2. migration: begins to complete.
3. vcpu 0: stores to a page, behind the last harvest.
Fix: wait for every vCPU's acknowledgement, big lock free meanwhile.
"""

from __future__ import annotations

from mig.cpus import Cpus
from stress.migration.defects.frame import Defect, Step


def pause_all(self: Cpus) -> bool:
    """Ask, and return."""
    self.request_stop()
    return True


DEFECT = Defect(
    __doc__,
    "stop_handshake",
    "broken invariant",
    "guest stands still",
    (Step(Cpus, "pause_all", pause_all, "8c0733a6"),),
)
