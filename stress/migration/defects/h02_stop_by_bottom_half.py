"""H2. The guest is stopped by a bottom half, whose flag says so before it is so.

Upstream: candidate; v1 stopped the vCPUs by a bottom half, aa723c2314 (2012) made that unnecessary.
1. migration: schedules the bottom half and polls a flag.
2. source iothread: sets the flag, and waits for the vCPUs; the big lock is free meanwhile.
3. migration: sees the flag and completes while vCPUs still run.
Fix: stop in place, and wait.
"""

from __future__ import annotations

from mig.designs.faults import StopByBottomHalf
from stress.migration.defects.frame import Defect

DEFECT = Defect(
    __doc__,
    "stop_handshake",
    "broken invariant",
    "guest stands still",
    design=StopByBottomHalf,
    also=(("uncaught exception", "StateError"), ("broken invariant", "final dirty set")),
    known="889f01b4",
)
