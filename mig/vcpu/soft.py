"""Guest programs in Python: deterministic, with registers that migrate.

Promises: equal registers and equal memory give equal stores, on whichever side they are executed;
between two steps the registers describe exactly the stores made so far. Every store goes through
the dirty log.
Assumes: the pages a program is given exist for its life.
Does not: share pages between programs in any ordered way; each writes where it is told.

The pattern is that of QEMU's own migration test: each step increments a counter word of the next
page, so that a page that was lost or sent stale shows a count that is too low.
"""

from __future__ import annotations

import struct
import time
from typing import TYPE_CHECKING, Final

from mig.ram import PAGE_SIZE

if TYPE_CHECKING:
    from mig.cpus import Vcpu
    from mig.dirtylog import DirtyLog
    from mig.ram import RamBlock

_REGISTERS = struct.Struct(">QQ")
_WORD = struct.Struct("<Q")
WORD_MASK: Final = (1 << 64) - 1
TICK: Final = 0.001
"""Seconds between two bursts of a program with a rate."""
REGISTER_BYTES: Final = _REGISTERS.size


def check_pages(block: RamBlock, first: int, pages: int) -> None:
    """Raise `ValueError` unless [first, first + pages) are pages of `block`, one at least."""
    if first < 0 or pages <= 0 or first + pages > block.pages:
        raise ValueError(
            f"pages {first} to {first + pages} of a block of {block.pages}; choose pages inside"
        )


def check_slot(slot: int) -> None:
    """Raise `ValueError` unless `slot` is a word of a page."""
    if not 0 <= slot < PAGE_SIZE // _WORD.size:
        raise ValueError(f"slot {slot}; give 0 to {PAGE_SIZE // _WORD.size - 1}")


class Registers:
    """The registers of a program over pages: `pc`, the page that comes next, and `counter`, the stores made."""

    def __init__(self, pages: int) -> None:
        self.pc = 0
        self.counter = 0
        self._pages = pages
        self._since: float | None = None
        """When the program began to run here, on the monotonic clock; None until it does."""

    def interrupt(self) -> None:
        """Nothing to do: it looks between two steps."""

    def save(self) -> bytes:
        """The registers: 16 bytes."""
        return _REGISTERS.pack(self.pc, self.counter)

    def load(self, state: bytes) -> None:
        """Take over registers; raises `ValueError` for what cannot be a state of this program."""
        if len(state) != REGISTER_BYTES:
            raise ValueError(f"{len(state)} bytes of registers, expected {REGISTER_BYTES}")
        pc, counter = _REGISTERS.unpack(state)
        if pc >= self._pages:
            raise ValueError(f"pc {pc} of a program of {self._pages} pages")
        self.pc, self.counter = pc, counter
        self._since = None


class PageIncrement(Registers):
    """Walks over pages [first, first + pages) of a block and increments a word in each.

    `writes` None is endless; else the program idles for good after so many stores. `rate` bounds
    the stores per second. `slot` chooses the word, so that programs may share pages. `stride` is
    the distance from one page to the next, modulo `pages`.

    Registers: `pc`, the page it is about to increment, and `counter`, the stores made.
    """

    def __init__(
        self,
        log: DirtyLog,
        block: RamBlock,
        *,
        first: int = 0,
        pages: int | None = None,
        writes: int | None = None,
        rate: int | None = None,
        stride: int = 1,
        slot: int = 0,
    ) -> None:
        pages = block.pages - first if pages is None else pages
        check_pages(block, first, pages)
        check_slot(slot)
        if rate is not None and rate <= 0:
            raise ValueError(f"rate {rate}; give a positive number of stores per second")
        super().__init__(pages)
        self.writes = writes
        self._log = log
        self._block = block
        self._first = first
        self._rate = rate
        self._stride = stride
        self._slot = slot * _WORD.size
        self._due_base = 0

    def run(self, cpu: Vcpu) -> float | None:
        """Step until asked to leave; see `mig.cpus.Program`."""
        due = self._due()
        while not cpu.leave():
            if self.writes is not None and self.counter >= self.writes:
                return None
            if due is not None and self.counter >= due:
                return TICK
            self.step()
        return 0.0

    def _due(self) -> int | None:
        """Stores due by now at the given rate, None without one."""
        if self._rate is None:
            return None
        now = time.monotonic()
        if self._since is None:
            self._since, self._due_base = now, self.counter
        return self._due_base + max(1, int((now - self._since) * self._rate))

    def step(self) -> None:
        """One store: increment the counter word of the page `pc`."""
        address = (self._first + self.pc) * PAGE_SIZE + self._slot
        (value,) = _WORD.unpack_from(self._block.view, address)
        self._log.store(self._block, address, _WORD.pack((value + 1) & WORD_MASK))
        self.counter += 1
        self.pc = (self.pc + self._stride) % self._pages
