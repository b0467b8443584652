"""E03. The most recently used block is still found after it was unplugged.

Upstream: 0d6d3c87a2 and a3161038a1 brought the one-entry cache; a change of the list has to forget it.
1. main: looks an address up; its block becomes the one used last.
2. monitor: unplugs that block.
3. main: looks the address up again, and gets memory that is not the guest's.
Fix: every change of the list clears the cache.
"""

from __future__ import annotations

from mig.ram import RamList
from stress.migration.defects.frame import Defect, Step


def remove(self: RamList, name: str) -> None:
    """Take a block off the list, and nothing else."""
    with self.mutex:
        gone = self.find(name)
        self._blocks = tuple(block for block in self._blocks if block is not gone)
        self.version += 1


DEFECT = Defect(
    __doc__,
    "hot_add_against_walk",
    "broken invariant",
    "no stale block",
    (Step(RamList, "remove", remove, "35c6be24"),),
)
