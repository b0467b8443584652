"""The counting guest: x86-64 machine code that increments byte 0 of each of its pages in turn.

Promises: whoever executes the code, `unicorn` or `kvm`, leaves memory that keeps to one rule: going
through a vCPU's pages, byte 0 is the same but for at most one place where it drops by one, the place
the guest is at; `fault` says in words where that is not so. A page that was lost or sent stale
breaks the rule, whatever a digest says.
Assumes: RAM of one block that begins at guest-physical 0; page 0 holds the code, the next pages are
left for page tables.
Does not: write anything but byte 0 of the vCPUs' pages.

The code asks its host for leave to store: register r9 counts the stores that are due, and when it is
0 the guest writes to a port, which hands over to the host. So its pace is the host's.

Source: the rule and the workload are those of QEMU's tests/qtest/migration-test.c
(check_guests_ram) and tests/migration/i386/a-b-bootblock.S.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from mig.ram import PAGE_SIZE
from mig.vcpu.x86 import RESET

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mig.ram import RamBlock

RESERVED: Final = 16
"""Pages in front of those the vCPUs write to: the code, then page tables."""
PORT: Final = 0x80
"""What the guest writes to when nothing is due."""
_INSTRUCTIONS: Final = (
    # top: the first page
    ("48 89 fb", "mov rbx, rdi"),
    # page: is a store due?
    ("4d 85 c9", "test r9, r9"),
    ("74 16", "jz wait"),
    # the store, and the count of stores made
    ("fe 03", "inc byte [rbx]"),
    ("48 ff c1", "inc rcx"),
    ("49 ff c9", "dec r9"),
    # the next page, or the first one again
    ("48 81 c3 00 10 00 00", "add rbx, 4096"),
    ("48 39 f3", "cmp rbx, rsi"),
    ("72 e7", "jb page"),
    ("eb e2", "jmp top"),
    # wait: the host puts into r9 what is due
    ("e6 80", "out 0x80, al"),
    ("eb e1", "jmp page"),
)
CODE: Final = b"".join(bytes.fromhex(machine) for machine, _ in _INSTRUCTIONS)
"""Registers: rdi first byte, rsi end, rbx the page that comes next, rcx stores made, r9 stores due."""
BURST: Final = 1 << 16
"""Most stores due at once: so the host looks often, whether a vCPU is slowed, say."""
TICK: Final = 0.001
"""Seconds a guest idles that has made all the stores that are due."""


class Part(NamedTuple):
    """The pages [first, first + pages) of one vCPU."""

    first: int
    pages: int

    @classmethod
    def of(cls, block: RamBlock, number: int, vcpus: int, window: int | None = None) -> Part:
        """The part of vCPU `number` of `vcpus`; together they write to `window` pages, or all.

        Raises `ValueError` where there is no page for each.
        """
        there = block.pages - RESERVED
        window = there if window is None else min(window, there)
        if window < vcpus:
            raise ValueError(
                f"a counting guest of {block.pages} pages for {vcpus} vCPUs; give it"
                f" {RESERVED + vcpus} or more"
            )
        lo, hi = (window * at // vcpus for at in (number, number + 1))
        return cls(RESERVED + lo, hi - lo)

    def registers(self) -> dict[str, int]:
        """The registers of a guest that is about to begin."""
        start, end = self.first * PAGE_SIZE, (self.first + self.pages) * PAGE_SIZE
        return {**RESET, "rdi": start, "rsi": end, "rbx": start}

    def bytes_of(self, block: RamBlock) -> NDArray[np.uint8]:
        """Byte 0 of each page."""
        rows = block.array.reshape(-1, PAGE_SIZE)
        column: NDArray[np.uint8] = rows[self.first : self.first + self.pages, 0]
        return column


def load(block: RamBlock) -> None:
    """Write the code to the guest's memory."""
    block.view[: len(CODE)] = CODE


def fault(part: Part, block: RamBlock, count: int) -> str | None:
    """How memory breaks the rule after `count` stores, in words; None where it keeps to it.

    The guest must not run. It may have been stopped between a store and its counting.
    """
    values = part.bytes_of(block).copy()
    drops = np.flatnonzero(np.diff(values)) + 1
    if drops.size > 1 or (drops.size and int(values[drops[0]]) != (int(values[0]) - 1) % 256):
        at = int(drops[-1])
        return (
            f"page {part.first + at} holds {int(values[at])}, the one before"
            f" {int(values[at - 1])}, the first {int(values[0])}: {drops.size} places differ"
        )
    for made in (count, count + 1):
        sweeps, place = divmod(made, part.pages)
        held = int(drops[0]) if drops.size else 0
        if held == place and int(values[-1]) == sweeps % 256:
            return None
    return f"byte 0 of the last page is {int(values[-1])}, which {count} stores do not leave"


class Quota:
    """How many stores are due: `rate` a second, or as many as it can for None."""

    def __init__(self, rate: int | None) -> None:
        if rate is not None and rate < 0:
            raise ValueError(f"rate {rate}; give stores per second, 0 or more")
        self._rate = rate
        self._since: float | None = None
        self._base = 0

    def due(self, count: int) -> int:
        """Stores due now to a guest that has made `count`; the clock begins with the first call."""
        if self._rate is None:
            return BURST
        now = time.monotonic()
        if self._since is None:
            self._since, self._base = now, count
        due = self._base + int((now - self._since) * self._rate) - count
        return min(max(0, due), BURST)

    def idle(self) -> float | None:
        """Seconds to idle when nothing is due; None, for good, where nothing ever will be."""
        return None if self._rate == 0 else TICK

    def forget(self) -> None:
        """The guest's registers were replaced: the clock begins again."""
        self._since = None
