"""E05. The last round walks what is known to be dirty, and harvests nothing.

Upstream: candidate; where the last sync belongs was a question of the series: c6bf8e0e0c has it here.
1. migration: harvests, and asks for the stop.
2. vcpu 0: stores to a page before it stops.
3. migration: walks the pages of its last harvest; that page is not among them.
Fix: harvest once more when every vCPU stands still.
"""

from __future__ import annotations

from mig import wire
from mig.ram_save import RamSave
from stress.migration.defects.frame import Defect, Step


def complete(self: RamSave) -> list[bytes]:
    """Body of the END section: every page known to be dirty."""
    with self.ram.mutex:
        return self._walk(self.bitmap.pages, None, None) or [wire.ram_eos()]


DEFECT = Defect(
    __doc__,
    "migration",
    "broken invariant",
    "final dirty set",
    (Step(RamSave, "complete", complete, "2e73b09b"),),
    arguments={"vcpus": 1, "pages": 2},
)
