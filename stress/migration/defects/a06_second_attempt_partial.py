"""A6, B05. A second attempt begins with a bitmap of only what was logged: most of RAM is never sent.

Upstream: repaired by 40c4d4a835 (2019): migrate, cancel, migrate lost memory.
1. migration: the first attempt fills the bitmap, and is cancelled.
2. migration: the second one takes the log for all there is to send, since everything was dirty once.
3. incoming: most pages never come.
Fix: every attempt begins with all pages dirty.
"""

from __future__ import annotations

from mig.ram_save import RamSave
from stress.migration.defects.frame import Defect, Step


def fill(self: RamSave) -> None:
    """Make every page dirty, the first time."""
    if vars(self.log).setdefault("filled", False):
        return
    vars(self.log)["filled"] = True
    with self.bitmap.lock:
        for block in self.blocks:
            self.bitmap.set_run(block.first_page, block.first_page + block.pages)


DEFECT = Defect(
    __doc__,
    "again_after_cancel",
    "broken invariant",
    "one side runs",
    (Step(RamSave, "fill", fill, "5a1a553f"),),
)
