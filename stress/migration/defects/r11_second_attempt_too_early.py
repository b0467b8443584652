"""R11. A second attempt may begin while the first one is not yet over, and resets what that still uses.

Upstream: repaired by 389775d1f6 (2015): a second migrate cleared a live mutex.
1. main: cancels, and sees the first attempt cancelled.
2. main: begins the second attempt, which switches logging on.
3. migration: the first attempt's thread comes to its end, and switches logging off.
4. vcpu 0: stores; nothing is marked.
Fix: an attempt is over when its thread is joined and everything is cleaned up, not before.
"""

from __future__ import annotations

from mig.machine import Machine
from mig.runstate import LIVE
from stress.migration.defects.frame import Defect, Step


def migrating(self: Machine) -> bool:
    """Whether the state says that a migration is under way."""
    return self.migration is not None and self.migration.state.value in LIVE


DEFECT = Defect(
    __doc__,
    "impatient",
    "broken invariant",
    "memory equal",
    (Step(Machine, "migrating", property(migrating), "9d873453"),),
    also=(("broken invariant", "one side runs"),),
)
