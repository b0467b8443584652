"""Who runs a migration and under which lock: one class a design, `by_name` to choose one.

Promises: `thread`; `merged`, the same with the moment of the stop that QEMU takes; `timer`, what was before;
`rfc_v1`, the series as posted, and `rfc_v1+flush-beyond-budget`, with the limiter it had; `sync_only`, `notified` and
`bitmap_thread`, what its reviewers proposed; and design `thread` with any of the faults of `rfc_v1`, or of those
repaired later ("thread+skip-setup-harvest+notify-one-stopper"); unknown names are refused with those there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mig.cpus import Cpus
from mig.designs.faults import FAULTS
from mig.designs.later import LATER
from mig.designs.notified import Notified
from mig.designs.rfc_v1 import RfcV1, RfcV1Unlimited
from mig.designs.sync_only import BitmapThread, SyncOnly
from mig.designs.thread import Merged, Thread
from mig.designs.timer import Timer
from mig.ram_save import RamSave

if TYPE_CHECKING:
    from mig.designs.base import Design

DESIGNS: Final[tuple[type[Design], ...]] = (
    Thread,
    RfcV1,
    Timer,
    SyncOnly,
    Notified,
    BitmapThread,
    Merged,
)
NAMES: Final[tuple[str, ...]] = tuple(design.name for design in DESIGNS)
"""The designs there are."""
HEALTHY: Final[tuple[str, ...]] = tuple(design.name for design in DESIGNS if design is not RfcV1)
"""Those without a known fault."""
_FAULTS: Final = (*FAULTS, *LATER)
FAULT_NAMES: Final[tuple[str, ...]] = tuple(fault.name.partition("+")[2] for fault in _FAULTS)
"""The faults that may be added to `thread`."""


def combine(*faults: type[Thread]) -> type[Thread]:
    """Design `thread` with all of these faults; two that replace the same step: the first one's."""
    bases = tuple(dict.fromkeys(faults)) or (Thread,)
    cpus = dict.fromkeys(fault.cpus_class for fault in bases if fault.cpus_class is not Cpus)
    saves = dict.fromkeys(
        fault.ram_save_class for fault in bases if fault.ram_save_class is not RamSave
    )
    names = (part for fault in bases for part in fault.name.split("+")[1:])
    return type(
        "Combined",
        bases,
        {
            "name": "+".join(("thread", *dict.fromkeys(names))),
            "cpus_class": type("CombinedCpus", tuple(cpus) or (Cpus,), {}),
            "ram_save_class": type("CombinedRamSave", tuple(saves) or (RamSave,), {}),
            "__doc__": "Design `thread` with several faults.",
            "__module__": __name__,
        },
    )


def by_name(name: str) -> type[Design]:
    """The design of that name; raises `ValueError` for an unknown one."""
    designs: tuple[type[Design], ...] = (*DESIGNS, RfcV1Unlimited, *_FAULTS)
    for design in designs:
        if design.name == name:
            return design
    base, *faults = name.split("+")
    if base != Thread.name or not faults or not set(faults) <= set(FAULT_NAMES):
        raise ValueError(
            f"unknown design {name!r}; choose {', '.join(NAMES)},"
            f" or thread with faults added by '+': {', '.join(FAULT_NAMES)}"
        )
    return combine(*(_FAULTS[FAULT_NAMES.index(fault)] for fault in faults))
