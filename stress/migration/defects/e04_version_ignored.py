"""E04. The walk does not look whether the block list is still the one that it began with.

Upstream: f798b07f51 brought the version for walks that let go of the lock between two portions.
1. migration: walks a portion, and lets go of the ramlist mutex.
2. monitor: unplugs a block.
3. migration: goes on over the old list, and sends pages that no block holds.
Fix: compare the version whenever the mutex was taken anew.
"""

from __future__ import annotations

from mig.ram_save import RamSave
from stress.migration.defects.frame import Defect, Step


def check_version(self: RamSave) -> None:
    """Look at nothing."""


DEFECT = Defect(
    __doc__,
    "hot_add_against_walk",
    "broken invariant",
    "no stale block",
    (Step(RamSave, "_check_version", check_version, "06f207e7"),),
)
