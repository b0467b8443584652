"""B23. The last walk ends when it comes back to the block where it began, and there is none yet.

Upstream: repaired by 4934a5dd7c (2022): a saving loop that never ended in the completion.
1. migration: nothing is left, so the completion has seen no block.
2. migration: goes round and round to meet the block seen last, big lock held.
3. vcpu 0: stopped, and behind the big lock for good.
Fix: count a round as over when every block was looked at.
"""

from __future__ import annotations

from mig.ram_save import RamSave
from stress.migration.defects.frame import Defect, Step


def complete(self: RamSave) -> list[bytes]:
    """Walk, then go on to the block seen last."""
    with self.ram.mutex:
        self.sync_locked()
        last = self.blocks[-1] if self.bitmap.count else None
        pieces = self._walk(self.bitmap.pages, None, None)
        at = 0
        while self.blocks[at % len(self.blocks)] is not last:
            at += 1
        return pieces


DEFECT = Defect(
    __doc__,
    "migration",
    "spin",
    "complete",
    (Step(RamSave, "complete", complete, "2e73b09b"),),
    arguments={"vcpus": 1, "pages": 2, "writes": 1},
)
