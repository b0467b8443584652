"""What every dirty log keeps to, whoever finds out that a page was stored to.

Promises (each implementation keeps them; `tests/mig/test_dirty_logs.py` holds them against each other):
- a store that is complete before `harvest` begins, made since the block's last harvest with logging
  on, has its page among those found;
- a page that was not stored to since then is not found, but for marks of birth, and, in a log that
  the kernel keeps, a page whose first access was a read: once;
- a store that overlaps a harvest is found by it or by the next one, and where it is found by it, a
  reader that begins after the harvest sees it. So pages are read only after the harvest returned:
  1. a vCPU stores to page p; 2. the migration thread harvests p; 3. it reads p; 4. the vCPU stores
  again: 4 comes after the harvest's clearing and is found by the next one.
- what was logged when logging stopped stays to be harvested; a store that overlaps `start` or
  `stop` may be missed: who begins to migrate reads every page after `start`.
Assumes: `add`, `remove`, `start`, `stop` and `harvest` are called with the big lock and the ramlist
mutex held, or before other threads run; `store`, `increment` and `mark` by any thread.
Does not: keep marks for several clients (the private bitmap, `mig.bitmap`, is what gets walked).

Like QEMU in 2012 a block may be born dirty: all its pages carry a mark from their allocation, logging
or not, and only a harvest removes it. A block that comes while logging is on counts as stored to.

Source: QEMU exec.c at a21143486b (qemu_ram_alloc marks all pages 0xff), 6c279db8ee and ece7931817
(clear exactly what was seen).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from mig.ram import RamBlock
    from mig.tracepoints import Tracepoints


class Harvest(NamedTuple):
    """What was marked in one block.

    `pages` are block-relative and ascending; `marked` of them were stored to while logging was on,
    the others carried their mark since birth.
    """

    pages: NDArray[np.intp]
    marked: int


class DirtyLog(Protocol):
    """The shared dirty log of one machine."""

    @property
    def logging(self) -> bool:
        """Whether stores are logged."""

    def add(self, block: RamBlock) -> None:
        """Log a block from now on."""

    def remove(self, block: RamBlock) -> None:
        """Forget a block; one that is not there is no error."""

    def start(self) -> None:
        """Begin to log stores."""

    def stop(self) -> None:
        """Log no more; what is marked stays marked."""

    def store(self, block: RamBlock, address: int, data: bytes) -> None:
        """Write `data` at byte `address` of `block`, inside one page, logged."""

    def increment(self, block: RamBlock, first: int, last: int, slot: int) -> None:
        """Add one to 64-bit word `slot` of each of the pages [first, last) of `block`, logged."""

    def mark(self, block: RamBlock, page: int) -> None:
        """Page `page` of `block` was stored to by other means than `store`; after the store."""

    def harvest(self, block: RamBlock) -> Harvest:
        """Take all marks of `block` out of the log."""

    def close(self) -> None:
        """Give up what the kernel keeps for it; nothing is logged any more. Any number of times."""


class MakeLog(Protocol):
    """Whoever makes the log of a machine."""

    def __call__(self, trace: Tracepoints, /, *, born_dirty: bool) -> DirtyLog:
        """The log of the machine whose trace points these are."""


class DirtyLogError(Exception):
    """A log that cannot be had on this machine; the text says why and what to do."""
