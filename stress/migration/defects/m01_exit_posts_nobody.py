"""M01, M02. A helper thread that ends early posts nobody: who waits for its answer waits for ever.

Upstream: repaired by a3ec6b7d23, 713f762a31 and 2f4aefd320 (2019): senders that left on an error without a post.
1. migration: asks the bitmap thread for a harvest, and waits for the answer.
2. main: cancels.
3. dirty bitmap: sees that the migration has ended, and leaves without an answer.
Fix: post on every way out.
"""

from __future__ import annotations

from mig.designs.sync_only import BitmapThread
from stress.migration.defects.frame import Defect, Step


def await_request(self: BitmapThread) -> bool:
    """Wait for a request; leave when the migration has ended."""
    self.asked.acquire()
    return self.active() and not self.over


DEFECT = Defect(
    __doc__,
    "cancelled",
    "lost wake-up",
    "Migration.join",
    (Step(BitmapThread, "await_request", await_request, "382878f6"),),
    design=BitmapThread,
    also=(("deadlock", "answered"), ("blocked for ever", "answered")),
)
