"""C09. A failure is published before its reason.

Upstream: repaired by 74892d2468 and 2bd3bce8ef (2014): a request and its state, an event and its cause, out of order.
1. peer: goes away.
2. migration: moves the state to failed.
3. monitor: sees it, asks why, and is told nothing.
4. migration: writes the reason down.
Fix: first the reason, then the state.
"""

from __future__ import annotations

from mig.migration import Migration
from mig.runstate import LIVE
from stress.migration.defects.frame import Defect, Step


def fail(self: Migration, error: Exception) -> None:
    """End it as failed, then say why."""
    while (state := self.state.value) in LIVE:
        if self.state.move(state, "error"):
            break
    self.interrupt()
    self._failure = error


DEFECT = Defect(
    __doc__,
    "asks_why",
    "broken invariant",
    "a failure has a reason",
    (Step(Migration, "fail", fail, "826e9b0e"),),
)
