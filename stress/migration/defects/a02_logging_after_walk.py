"""A2. Logging is switched on after the walk has begun: stores in between are in no log.

Upstream: candidate; the order that 6d2fe810ed disliked (harvest, then start to log), with the walk in the gap.
1. migration: clears the shared log, and walks the first pages with logging off.
2. vcpu 0: stores to a page that was sent already; nothing is marked.
3. migration: switches logging on; no sync will ever find that store.
Fix: start to log, clear the log, and only then walk.
"""

from __future__ import annotations

from mig.designs.base import Steps
from mig.ram_save import RamSave
from stress.migration.defects.frame import Defect, Step


def setup_harvest(self: Steps) -> None:
    """All pages dirty and the log clear, but logging is off."""
    self.ram.fill()
    self.ram.setup_harvest()


def iterate(self: RamSave) -> list[bytes]:
    """Walk, then see that stores are logged."""
    with self.ram.mutex:
        pieces = [] if self.channel.error is not None else self.portion()
        if not self.log.logging:
            self.log.start()
        return pieces


DEFECT = Defect(
    __doc__,
    "migration",
    "broken invariant",
    "memory equal",
    (
        Step(Steps, "setup_harvest", setup_harvest, "d78391c8"),
        Step(RamSave, "iterate", iterate, "687819d9"),
    ),
)
