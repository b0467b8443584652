"""Guest programs that store to many pages a step: what it takes to dirty a large guest from Python.

Promises: as `mig.vcpu.soft`: between two steps the registers describe exactly the stores made so
far, and every store goes through the dirty log. A step is one run of neighbouring pages, so a vCPU
that is asked to leave does so after at most one run.
Assumes: no two programs share pages. Does not: promise that the stores of one step become visible
one after the other.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from mig.vcpu.soft import TICK, Registers, check_pages, check_slot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mig.cpus import Vcpu
    from mig.dirtylog import DirtyLog
    from mig.ram import RamBlock

RUN: Final = 64
"""Pages of one step."""


class Pace(NamedTuple):
    """So many pages a second, for so many seconds; the last pace of a list is followed by the first."""

    seconds: float
    rate: float


class RunIncrement(Registers):
    """Walks over pages [first, first + pages) of a block for ever, incrementing word `slot` of each.

    `paces` say how fast.
    """

    def __init__(
        self,
        log: DirtyLog,
        block: RamBlock,
        first: int,
        pages: int,
        paces: Sequence[Pace],
        *,
        slot: int = 0,
    ) -> None:
        check_pages(block, first, pages)
        check_slot(slot)
        if not paces or any(pace.seconds <= 0 or pace.rate < 0 for pace in paces):
            raise ValueError(f"paces {paces!r}; give some, with seconds above 0 and rates from 0")
        super().__init__(pages)
        self._log = log
        self._block = block
        self._first = first
        self._paces = paces
        self._slot = slot
        self._period = sum(pace.seconds for pace in paces)
        self._each_period = sum(pace.seconds * pace.rate for pace in paces)
        self._base = 0

    def run(self, cpu: Vcpu) -> float | None:
        """Step until asked to leave, or until what is due by now is done; see `mig.cpus.Program`."""
        now = time.monotonic()
        if self._since is None:
            self._since, self._base = now, self.counter
        due = self._base + self.due(now - self._since)
        while not cpu.leave():
            if self.counter >= due:
                return TICK
            self.step()
        return 0.0

    def due(self, seconds: float) -> int:
        """Stores that the paces ask for in the first `seconds`."""
        rounds, rest = divmod(seconds, self._period)
        made = rounds * self._each_period
        for pace in self._paces:
            made += min(rest, pace.seconds) * pace.rate
            rest -= pace.seconds
            if rest <= 0:
                break
        return int(made)

    def step(self) -> None:
        """One run of stores."""
        last = min(self.pc + RUN, self._pages)
        self._log.increment(self._block, self._first + self.pc, self._first + last, self._slot)
        self.counter += last - self.pc
        self.pc = last % self._pages
