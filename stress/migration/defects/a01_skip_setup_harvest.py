"""A1, B01. The shared log is not cleared in the set-up, so the first sync finds every page dirty again.

Upstream: introduced by 6d2fe810ed (June 2012), repaired by 79536f4f16 (3 August 2012); fault (a) of the series.
1. main: builds the machine; every page carries a mark from its allocation.
2. migration: fills the private bitmap, switches logging on, and leaves the marks where they are.
3. migration: at the first sync finds all of them and sends the guest a second time.
Fix: harvest behind the start of logging, before the walk begins.
"""

from __future__ import annotations

from mig.designs.faults import SkipSetupHarvest
from stress.migration.defects.frame import Defect

DEFECT = Defect(
    __doc__,
    "harvest_against_write",
    "broken invariant",
    "dirty at sync",
    design=SkipSetupHarvest,
    arguments={"pages": 2, "writes": 1},
    known="439dd953",
)
