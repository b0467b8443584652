"""A12, B21. The estimate leaves RAM out, so every tick looks like the last one and harvests the whole log.

Upstream: c8df4a7aef, 28ef5339c3, b0504edd40, 910c164736 (2024): repaired, and introduced again, twice.
1. migration: walks a portion of the dirty pages.
2. migration: at the next tick takes nothing for left, and harvests again although pages are still to be sent.
3. migration: so it goes at each tick, with the locks held for as long as a harvest of all RAM takes.
Fix: compare all that is left with the threshold.
"""

from __future__ import annotations

from mig.designs.base import Steps
from stress.migration.defects.frame import Defect, Step


def may_stop(self: Steps) -> bool:
    """Harvest at every tick."""
    self.harvest()
    return not self.ram.remaining and self.round_is_last()


DEFECT = Defect(
    __doc__,
    "device",
    "broken invariant",
    "harvested in time",
    (Step(Steps, "may_stop", may_stop, "8a0d99bc"),),
)
