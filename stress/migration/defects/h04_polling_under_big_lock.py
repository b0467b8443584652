"""H4. The wait for the vCPUs polls with the big lock held.

Upstream: candidate; a wait that does not release the lock, as the condition of aa723c2314 does.
1. migration: asks the vCPUs to stop, and sleeps and looks, big lock held.
2. vcpu 0: leaves the guest, and waits for the big lock to say so.
3. migration: looks for ever.
Fix: wait on a condition of the lock.
"""

from __future__ import annotations

import time

from mig.cpus import Cpus
from stress.migration.defects.frame import Defect, Step


def pause_all(self: Cpus) -> bool:
    """Poll until every vCPU is stopped."""
    self.request_stop()
    while not self.all_stopped():
        time.sleep(0.01)
    return True


DEFECT = Defect(
    __doc__,
    "stop_handshake",
    "livelock",
    "sleep on clock",
    (Step(Cpus, "pause_all", pause_all, "8c0733a6"),),
    arguments={"vcpus": 1},
)
