"""C02. A vCPU's acknowledgement wakes one waiter where two can wait.

Upstream: repaired by 96bce6831b (2016); H5 of the candidates for fault (c).
1. source iothread: waits for the vCPUs, since the user stops the guest.
2. migration: waits for them, too.
3. vcpu 0: stops and wakes one of the two; the other waits for ever.
Fix: wake all who wait.
"""

from __future__ import annotations

from mig.designs.faults import NotifyOneStopper
from stress.migration.defects.frame import Defect

DEFECT = Defect(
    __doc__,
    "stop_handshake",
    "lost wake-up",
    "pause condition",
    design=NotifyOneStopper,
    known="7ed60d36",
)
