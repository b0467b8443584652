"""A7. Figures of a migration live in variables that the next attempt finds as they were left.

Upstream: repaired by 6c1b663c4c (2014): function-static rates and times, not reset between attempts.
1. monitor: cancels the first attempt after some syncs.
2. migration: the second attempt goes on counting where the first one ended.
3. main: asks how it is going, and is told of both as one.
Fix: everything counted belongs to the attempt.
"""

from __future__ import annotations

from mig.ram_save import RamSave
from stress.migration.defects.frame import Defect, Step


def setup_harvest(self: RamSave) -> None:
    """Begin, with the syncs of before."""
    self.syncs = vars(self.log).setdefault("syncs", self.syncs)
    whole(self)


whole = RamSave.setup_harvest

DEFECT = Defect(
    __doc__,
    "again_after_cancel",
    "broken invariant",
    "figures of this attempt",
    (Step(RamSave, "setup_harvest", setup_harvest, "1375f6e2"),),
    also=(("broken invariant", "dirty at sync"),),
)
