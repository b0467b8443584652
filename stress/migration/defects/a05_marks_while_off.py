"""A5. Stores are marked whether or not anybody migrates, and a second attempt trusts the log to be clear.

Upstream: candidate; marks of all clients were never masked before ae7a2bca8a, so A1 shows again after a cancel.
1. monitor: cancels the first attempt; logging is switched off.
2. vcpu 0: stores, and marks all the same.
3. migration: the second attempt harvests nothing in its set-up, since the first one has cleared the log.
4. migration: its first sync finds marks of before.
Fix: mark only while logging is on, and harvest in every set-up.
"""

from __future__ import annotations

from mig.designs.base import Steps
from mig.dirtylog import ByteLog
from mig.dirtylog.accessor import MARKED
from mig.ram import RamBlock
from stress.migration.defects.frame import Defect, Step


def mark(self: ByteLog, block: RamBlock, page: int) -> None:
    """Mark, logging or not."""
    first = block.first_page + page
    if (listener := self.trace.listener) is not None:
        listener.access("dirty_log", first, first + 1, True)
    self._logs[block.name][page] = MARKED
    if listener is not None and self.logging:
        listener.event("page_marked", page=first)


def setup_harvest(self: Steps) -> None:
    """Harvest once in a machine's life."""
    self.ram.fill()
    self.machine.log.start()
    if not vars(self.machine.log).setdefault("harvested", False):
        vars(self.machine.log)["harvested"] = True
        self.ram.setup_harvest()


DEFECT = Defect(
    __doc__,
    "again_after_cancel",
    "broken invariant",
    "dirty at sync",
    (
        Step(ByteLog, "mark", mark, "f1aee258"),
        Step(Steps, "setup_harvest", setup_harvest, "d78391c8"),
    ),
)
