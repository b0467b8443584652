"""Design `rfc_v1`: a reconstruction of the migration-thread series as posted in July 2012.

Promises: it is design `thread` with the steps of `mig.designs.faults` replaced, and nothing else.
Does not: claim to be the patches; what is established and what is a candidate stands at each fault.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from mig.designs.faults import (
    CloseUnderBigLock,
    DrainWithoutRefill,
    EstimateByAppend,
    FlushBeyondBudget,
    LeakingRamSave,
    NotifyOneCpus,
    RamlistMutexLeak,
    SkipSetupHarvest,
    StateAfterPauseCpus,
    StopByBottomHalf,
    UnboundedRamSave,
)

if TYPE_CHECKING:
    from mig.cpus import Cpus
    from mig.ram_save import RamSave


class RfcCpus(NotifyOneCpus, StateAfterPauseCpus):
    """vCPUs with both faults of the stop hand-shake."""


class RfcV1(
    SkipSetupHarvest,
    DrainWithoutRefill,
    CloseUnderBigLock,
    RamlistMutexLeak,
    EstimateByAppend,
    StopByBottomHalf,
):
    """The series as posted, as far as it can be known."""

    name = "rfc_v1"
    cpus_class: ClassVar[type[Cpus]] = RfcCpus


class RfcRamSave(LeakingRamSave, UnboundedRamSave):
    """A walk with both its faults."""


class RfcV1Unlimited(FlushBeyondBudget, RfcV1):
    """The same with a limiter that does not limit, as the series had it.

    A design of its own, because in `rfc_v1` the speed limit stands for the wire: no wire of 2012 was as fast as a
    loopback, and it is what decides how much is left at the stop.
    """

    name = "rfc_v1+flush-beyond-budget"
    ram_save_class: ClassVar[type[RamSave]] = RfcRamSave
