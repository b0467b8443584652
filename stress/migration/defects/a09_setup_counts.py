"""A9, B20. The harvest of the set-up counts as the first period: all of RAM was dirtied in it, the figures say.

Upstream: repaired by fb6135807f (2020): a wrong dirty rate at the start, and throttling without need.
1. main: builds the machine; every page carries a mark from its allocation.
2. migration: harvests them in the set-up, and keeps the number as what the guest has dirtied.
3. migration: rates and throttling are taken from it.
Fix: the set-up's harvest counts no page.
"""

from __future__ import annotations

from mig.ram_save import RamSave, Sync
from stress.migration.defects.frame import Defect, Step


def setup_harvest(self: RamSave) -> None:
    """Clear the shared log, and count it as a period of the guest."""
    found = Sync(sum(len(self.log.harvest(block).pages) for block in self.blocks), 0)
    self.syncs.append(found)
    self._tell_sync(len(self.syncs), found)


DEFECT = Defect(
    __doc__,
    "harvest_against_write",
    "broken invariant",
    "dirty at sync",
    (Step(RamSave, "setup_harvest", setup_harvest, "1375f6e2"),),
    arguments={"pages": 2, "writes": 1},
)
