"""H8. The last round is written with the big lock held, and the peer waits for that lock.

Upstream: dd217b8732 (blocking writes) with the close in the completion; moved out of the lock by a3fa1d78cb.
1. migration: writes what is left, big lock held; the socket is full.
2. peer: before it reads on, asks the source how it is doing, which takes the big lock.
3. migration: waits for the peer, the peer for the lock.
Fix: write the last round without a lock, in the thread's own loop.
"""

from __future__ import annotations

from mig.designs.faults import CloseUnderBigLock
from stress.migration.defects.frame import Defect

DEFECT = Defect(
    __doc__, "channel_close", "deadlock", "socket.send", design=CloseUnderBigLock, known="5c341b0e"
)
