"""X02. A page that is sent as zeros stays in the delta cache with its old content.

Upstream: repaired by 6d3cb1f970 (2014).
1. migration: sends a page with content; the cache keeps it.
2. device: zeroes the page; it is sent as zeros, and the cache is left alone.
3. vcpu 0: stores to the page.
4. migration: sends the difference to what the destination does not have any more.
Fix: enter the zeros, too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mig.ram_xbzrle import DeltaSender
from stress.migration.defects.frame import Defect, Step


def zeros(self: DeltaSender, numbers: NDArray[np.intp], age: int) -> None:
    """Pages are sent as zeros."""


DEFECT = Defect(
    __doc__,
    "deltas",
    "broken invariant",
    "memory equal",
    (Step(DeltaSender, "zeros", zeros, "2c6f2d0e"),),
    arguments={"writes": 2},
)
