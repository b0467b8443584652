"""H1. The last flush counts against a budget that nobody refills, and spins when more is left.

Upstream: 2dddf6f413 and c518dd841d have this loop, a3fa1d78cb removed it; best candidate for the hang of July 2012.
1. vcpu 0: has dirtied more than the budget when the guest is stopped.
2. migration: writes until the budget of the window is spent.
3. migration: flushes again and again; nothing is written, and nothing opens the next window.
Fix: open a window for each flush, in the loop that drains.
"""

from __future__ import annotations

from mig.designs.faults import DrainWithoutRefill
from stress.migration.defects.frame import Defect

DEFECT = Defect(
    __doc__, "busy_migration", "spin", "drain", design=DrainWithoutRefill, known="19a84854"
)
