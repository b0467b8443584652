"""P21. A page that comes as zeros is left as it is, if it came before.

Upstream: repaired with 2c36076a11 and 413d64fedc: errors overwritten, and a "zero page" that was not zero.
1. migration: sends a page with content.
2. device: zeroes it.
3. migration: sends it as zeros.
4. incoming: has seen the page, and leaves it.
Fix: clear what is not zero.
"""

from __future__ import annotations

from mig import wire
from mig.ram import PAGE_SIZE
from mig.ram_load import RamLoader
from stress.migration.defects.frame import Defect, Step


def zero(self: RamLoader, name: str, offset: int) -> None:
    """Count a page of zeros; fresh memory is zero."""
    self._received[name][offset // PAGE_SIZE] = 1
    self.checks.record(name, offset, wire.FLAG_ZERO, b"\0")
    self.duplicate += 1


DEFECT = Defect(
    __doc__,
    "device",
    "broken invariant",
    "memory equal",
    (Step(RamLoader, "zero", zero, "0efd7eae"),),
    arguments={"pages": 2},
)
