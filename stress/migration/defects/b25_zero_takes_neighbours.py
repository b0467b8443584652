"""B25. A page of zeros is discarded together with its neighbours.

Upstream: repaired by 45e6cee42b (2012), for hosts whose pages are larger than the guest's.
1. device: zeroes a page.
2. migration: sends its neighbour with content, and then the page as zeros.
3. incoming: gives the whole host page back to the kernel, the neighbour with it.
Fix: discard only where all that goes with it is zero.
"""

from __future__ import annotations

from mig import wire
from mig.ram import PAGE_SIZE
from mig.ram_load import RamLoader
from stress.migration.defects.frame import Defect, Step


def zero(self: RamLoader, name: str, offset: int) -> None:
    """Make the host page of two pages zero."""
    block = self._blocks[name]
    first = offset - offset % (2 * PAGE_SIZE)
    size = min(2 * PAGE_SIZE, block.used_length - first)
    block.view[first : first + size] = bytes(size)
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
