"""The kernel's page tables as the dirty log: no accessor in the guest's way.

Promises: the contract (`mig.dirtylog.contract`), for stores by any thread of this process, by machine
code and by system calls, whether or not they go through `store`. Beyond it: a page that was read
before it was ever stored to counts as stored to, once.
Assumes: Linux 6.7 or newer (`pagemap.why_not` says what is missing); block memory that is anonymous
or a memfd.
Does not: see stores made through another mapping of the same memory (another process's, say).

Start: 1. the block is registered; 2. everything written so far is taken and dropped. A store between
the two is dropped with it, and was made before logging began: the walk that follows reads it.
Harvest: finding a page written and protecting it again is one step under the page table's lock. A
store that comes later faults, is noted by the kernel, and is found next time; one that came earlier
is visible to whoever reads after the harvest.
"""

from __future__ import annotations

import contextlib
import mmap
from typing import TYPE_CHECKING

import numpy as np

from mig.dirtylog.contract import Harvest
from mig.dirtylog.pagemap import Pagemap, Tracking, pages_of
from mig.ram import HUGE_FROM, PAGE_SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mig.ram import RamBlock
    from mig.tracepoints import Tracepoints


class _Tracked:
    """One block: where it is, and what is known of it besides the page tables."""

    def __init__(self, block: RamBlock, *, born: bool, stored: bool) -> None:
        self.block = block
        self.start = int(block.array.ctypes.data)
        self.end = self.start + block.used_length
        self.born = born
        """Whether every page still carries its mark of birth."""
        self.kept: NDArray[np.intp] = np.arange(block.pages if stored else 0, dtype=np.intp)
        """Pages stored to while logging was on, kept when it ended."""

    def advise(self, name: str) -> None:
        """Huge pages come whole and would count as written whole, so there are none while logging."""
        with contextlib.suppress(OSError, AttributeError):  # a kernel that has none
            self.block.memory.madvise(getattr(mmap, name))


class PageScanLog:
    """The log of one machine; raises `DirtyLogError` where the kernel has no such thing."""

    def __init__(self, trace: Tracepoints, *, born_dirty: bool = True) -> None:
        self.trace = trace
        self.logging = False
        self._born = born_dirty
        self._tracking = Tracking()
        self._pagemap = Pagemap()
        self._blocks: dict[str, _Tracked] = {}

    def add(self, block: RamBlock) -> None:
        """Log a block from now on; while logging is on its pages count as stored to."""
        made = _Tracked(block, born=self._born and not self.logging, stored=self.logging)
        self._blocks[block.name] = made
        if self.logging:
            self._begin(made)

    def remove(self, block: RamBlock) -> None:
        """Forget a block."""
        tracked = self._blocks.pop(block.name, None)
        if tracked is not None:
            self._tracking.unregister(tracked.start, tracked.end)

    def _begin(self, tracked: _Tracked) -> None:
        tracked.advise("MADV_NOHUGEPAGE")
        self._tracking.register(tracked.start, tracked.end)
        self._pagemap.take(tracked.start, tracked.end)

    def start(self) -> None:
        """Begin to log stores."""
        if not self.logging:
            for tracked in self._blocks.values():
                self._begin(tracked)
        self.logging = True
        if (listener := self.trace.listener) is not None:
            listener.event("logging_started")

    def stop(self) -> None:
        """Log no more; what was found until now stays to be harvested."""
        if self.logging:
            for tracked in self._blocks.values():
                tracked.kept = self._stored(tracked)
                self._tracking.unregister(tracked.start, tracked.end)
                if tracked.block.used_length >= HUGE_FROM:
                    tracked.advise("MADV_HUGEPAGE")
        self.logging = False
        if (listener := self.trace.listener) is not None:
            listener.event("logging_stopped")

    def store(self, block: RamBlock, address: int, data: bytes) -> None:
        """Write `data` at byte `address` of `block`, inside one page; the kernel notices."""
        if (listener := self.trace.listener) is not None:
            first = block.first_page + address // PAGE_SIZE
            listener.access("guest_page", first, first + 1, True)
        block.view[address : address + len(data)] = data

    def increment(self, block: RamBlock, first: int, last: int, slot: int) -> None:
        """Add one to 64-bit word `slot` of each of the pages [first, last) of `block`."""
        if (listener := self.trace.listener) is not None:
            listener.access("guest_page", block.first_page + first, block.first_page + last, True)
        block.array.view(np.uint64).reshape(-1, PAGE_SIZE // 8)[first:last, slot] += 1

    def mark(self, block: RamBlock, page: int) -> None:
        """Nothing to do: the kernel has noticed the store."""

    def _stored(self, tracked: _Tracked) -> NDArray[np.intp]:
        """Pages stored to while logging was on, taken out."""
        kept = tracked.kept
        tracked.kept = kept[:0]
        if not self.logging:
            return kept
        found = pages_of(self._pagemap.take(tracked.start, tracked.end))
        return np.union1d(kept, found).astype(np.intp) if kept.size else found

    def harvest(self, block: RamBlock) -> Harvest:
        """Take all marks of `block` out of the log."""
        lo, hi = block.first_page, block.first_page + block.pages
        if (listener := self.trace.listener) is not None:
            listener.access("dirty_log", lo, hi, True)
        tracked = self._blocks[block.name]
        stored = self._stored(tracked)
        if not tracked.born:
            return Harvest(stored, stored.size)
        tracked.born = False
        return Harvest(np.arange(block.pages, dtype=np.intp), stored.size)

    def close(self) -> None:
        """Give up the descriptors; any number of times."""
        self.logging = False
        self._tracking.close()
        self._pagemap.close()
