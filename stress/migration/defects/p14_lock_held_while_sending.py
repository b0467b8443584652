"""P14. Pages are written with the lock held under which they were walked.

Upstream: repaired by f3321554ef (2022): the bitmap mutex held while sending blocked an urgent sender.
1. migration: walks a portion, and writes it before it lets go of its locks; the socket is full.
2. manager: before it carries the next piece, asks the source how it is doing, which takes the big lock.
3. migration: waits for the manager, the manager for the lock.
Fix: append under the lock, write outside.
"""

from __future__ import annotations

from mig.designs.base import Steps
from stress.migration.defects.frame import Defect, Step


def iterate(self: Steps) -> None:
    """Append a portion and write it."""
    self.channel.append(self.migration.savevm.iterate())
    self.channel.flush()


DEFECT = Defect(
    __doc__,
    "tunnelled",
    "deadlock",
    "socket.send",
    (Step(Steps, "iterate", iterate, "bdf65d5d"),),
    arguments={"pages": 16},
)
