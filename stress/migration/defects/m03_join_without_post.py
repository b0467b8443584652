"""M03. At the end a helper thread is awaited, and nobody posts what it waits for.

Upstream: repaired by f193bc0c53 (2019): the clean-up joined receivers that waited for a sync that never came.
1. migration: comes to its end, and asks the bitmap thread for nothing more.
2. dirty bitmap: waits for its next request; it is the one who would clean up.
3. main: waits for the end.
Fix: post before whoever is to end is awaited.
"""

from __future__ import annotations

from mig.designs.sync_only import BitmapThread
from stress.migration.defects.frame import Defect, Step


def clean_up_later(self: BitmapThread) -> None:
    """Say that it is over."""
    self.over = True


DEFECT = Defect(
    __doc__,
    "migration",
    "lost wake-up",
    "Migration.join",
    (Step(BitmapThread, "clean_up_later", clean_up_later, "5e74a51a"),),
    design=BitmapThread,
    arguments={"vcpus": 1, "pages": 2},
)
