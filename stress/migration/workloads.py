"""What guests do while they are migrated: the shapes of the loads that the reports of 2012 name.

Promises: a shape says how much of the guest has content, how much of it the vCPUs write to, and how
fast, over time; source and destination make the same programs of it.
Sources: the tables posted with the series (1 GiB guest: idle, boot, iozone, stressapptest) for how much
has content, and which of them converged at 32 MiB/s; the report on a 128 GiB guest under SpecJBB for the
last remainder (2,386,832 kB). Rates are ours, chosen so that the same loads converge and do not.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from mig.ram import PAGE_SIZE
from mig.vcpu.runs import Pace, RunIncrement

if TYPE_CHECKING:
    from mig.machine import Machine, MakeProgram
    from mig.ram import RamBlock

GIB: Final = 1 << 30


@dataclass(frozen=True, slots=True)
class Shape:
    """One load. Shares are parts of the guest's memory; rates pages a second for a guest of 1 GiB.

    `resident` has content when the migration begins; the vCPUs write to the first `working_set` of it.
    """

    name: str
    resident: float
    working_set: float
    paces: tuple[Pace, ...]
    about: str


SHAPES: Final = {
    shape.name: shape
    for shape in (
        Shape("idle", 0.48, 0.01, (Pace(1, 50),), "a desktop nobody uses: timers and a clock"),
        Shape("boot", 0.36, 0.30, (Pace(2, 6000), Pace(1, 500)), "a system that starts: bursts, ever new pages"),
        Shape("iozone", 0.87, 0.50, (Pace(3, 5000), Pace(1, 200)), "file reads and writes through the page cache"),
        Shape("stressapptest", 0.90, 0.80, (Pace(1, 60000),), "all memory written as fast as it goes: never converges"),
        Shape("specjbb", 0.60, 0.45, (Pace(4, 9000), Pace(1, 30000)), "a Java heap: allocation and full collections"),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Load:
    """A shape on a guest of `ram` bytes with `vcpus`.

    `working_set` (bytes) and `rate` (pages a second) replace the shape's when above 0; `slow` divides
    the rate: vCPUs as a debugger or an emulator slows them.
    """

    shape: str
    ram: int
    vcpus: int
    working_set: int = 0
    rate: int = 0
    slow: float = 1.0

    @property
    def pages(self) -> int:
        """Pages that the vCPUs write to: at least one for each."""
        share = SHAPES[self.shape].working_set
        wanted = self.working_set // PAGE_SIZE or int(self.ram // PAGE_SIZE * share)
        return max(self.vcpus, wanted)

    @property
    def resident(self) -> int:
        """Pages with content at the beginning; those written to are among them."""
        if self.working_set:
            return self.pages
        return max(self.pages, int(self.ram // PAGE_SIZE * SHAPES[self.shape].resident))

    def paces(self) -> tuple[Pace, ...]:
        """How fast one vCPU writes."""
        if self.rate:
            return (Pace(1, self.rate / self.vcpus / self.slow),)
        scale = self.ram / GIB / self.vcpus / self.slow
        return tuple(Pace(p.seconds, p.rate * scale) for p in SHAPES[self.shape].paces)

    def programs(self) -> list[MakeProgram]:
        """One program for each vCPU, each with an equal part of the working set for itself."""
        return [partial(_program, self, number) for number in range(self.vcpus)]

    def as_text(self) -> str:
        """One line that `from_text` reads back."""
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> Load:
        """Read what `as_text` wrote; raises `ValueError` or `TypeError` for anything else."""
        return cls(**json.loads(text))

    def fill(self, block: RamBlock) -> None:
        """Give the resident pages their first content: each its own number, plus one."""
        words = block.array.view(np.uint64).reshape(-1, PAGE_SIZE // 8)
        words[: self.resident, 1] = np.arange(1, self.resident + 1, dtype=np.uint64)


def _program(load: Load, number: int, machine: Machine, _: int) -> RunIncrement:
    block = machine.ram.blocks()[0]
    lo, hi = (load.pages * at // load.vcpus for at in (number, number + 1))
    return RunIncrement(machine.log, block, lo, hi - lo, load.paces())
