"""One byte a page, set by whoever writes guest memory: the log that needs nothing of the kernel.

Promises: a page stored to through `store` while logging is on is in the log after the store; a mark
is one indivisible byte store, so any number of threads may mark without a lock; `harvest` clears
exactly the marks it returns.
Assumes: every store goes through the log, or is marked after it was made.
Does not: see stores that nobody marks.

Why store first and mark after, and clear before reading. With the mark first:
1. vCPU marks page p; 2. migration thread harvests the mark, reads and sends p; 3. vCPU stores to p:
the destination never sees the store. With the store first, whoever clears the mark reads p later
than the store.

A mark of birth has a value of its own, so that `harvest` can tell how many pages were really marked
since logging began.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from mig.dirtylog.contract import Harvest
from mig.ram import PAGE_SIZE

if TYPE_CHECKING:
    from mig.ram import RamBlock
    from mig.tracepoints import Tracepoints

CLEAN: Final = 0
MARKED: Final = 1
"""Stored to while logging was on."""
BORN: Final = 2
"""Never harvested since the block was allocated."""


class ByteLog:
    """The log of one machine: a byte array for each block; see `mig.dirtylog.contract`."""

    def __init__(self, trace: Tracepoints, *, born_dirty: bool = True) -> None:
        self.trace = trace
        self.logging = False
        self._born = BORN if born_dirty else CLEAN
        self._logs: dict[str, bytearray] = {}

    def add(self, block: RamBlock) -> None:
        """Log a block from now on; while logging is on its pages count as stored to."""
        value = MARKED if self.logging else self._born
        self._logs[block.name] = bytearray((value,)) * block.pages

    def remove(self, block: RamBlock) -> None:
        """Forget a block."""
        self._logs.pop(block.name, None)

    def start(self) -> None:
        """Begin to log stores."""
        self.logging = True
        if (listener := self.trace.listener) is not None:
            listener.event("logging_started")

    def stop(self) -> None:
        """Log no more; what is marked stays marked."""
        self.logging = False
        if (listener := self.trace.listener) is not None:
            listener.event("logging_stopped")

    def store(self, block: RamBlock, address: int, data: bytes) -> None:
        """Write `data` at byte `address` of `block`, inside one page, then mark the page."""
        page = address // PAGE_SIZE
        if (listener := self.trace.listener) is not None:
            first = block.first_page + page
            listener.access("guest_page", first, first + 1, True)
        block.view[address : address + len(data)] = data
        self.mark(block, page)

    def increment(self, block: RamBlock, first: int, last: int, slot: int) -> None:
        """Add one to 64-bit word `slot` of each of the pages [first, last) of `block`, then mark them all.

        All stores are made before the first mark, so each is made before its own.
        """
        lo, hi = block.first_page + first, block.first_page + last
        if (listener := self.trace.listener) is not None:
            listener.access("guest_page", lo, hi, True)
        block.array.view(np.uint64).reshape(-1, PAGE_SIZE // 8)[first:last, slot] += 1
        if listener is not None:
            listener.access("dirty_log", lo, hi, True)
        if not self.logging:
            return  # see `mark`
        # A slice of equal length is copied into place: one byte store a page, and nothing moves.
        self._logs[block.name][first:last] = bytes((MARKED,)) * (last - first)
        if listener is not None:
            for page in range(lo, hi):
                listener.event("page_marked", page=page)

    def mark(self, block: RamBlock, page: int) -> None:
        """Mark page `page` of `block`, if logging is on."""
        if (listener := self.trace.listener) is not None:
            first = block.first_page + page
            listener.access("dirty_log", first, first + 1, True)
        if not self.logging:
            # A store that saw logging off was made before logging began: the walk that follows
            # reads every page after that.
            return
        self._logs[block.name][page] = MARKED
        if listener is not None:
            listener.event("page_marked", page=first)

    def harvest(self, block: RamBlock) -> Harvest:
        """Take all marks of `block` out of the log."""
        lo, hi = block.first_page, block.first_page + block.pages
        if (listener := self.trace.listener) is not None:
            listener.access("dirty_log", lo, hi, False)
        # One copy made in a single step: numpy refuses to search an array that changes meanwhile.
        seen = np.frombuffer(bytes(self._logs[block.name]), dtype=np.uint8)
        pages = np.flatnonzero(seen)
        marked = int(np.count_nonzero(seen[pages] == MARKED))
        if pages.size:
            # A mark set between the two steps on a page found is cleared with it, and that page is
            # read later; on another page it stays for the next harvest.
            if listener is not None:
                listener.access("dirty_log", lo, hi, True)
            np.frombuffer(self._logs[block.name], dtype=np.uint8)[pages] = CLEAN
        return Harvest(pages, marked)

    def marks(self, block: RamBlock) -> list[int]:
        """Marked pages of `block`, left marked."""
        return [page for page, value in enumerate(self._logs[block.name]) if value]

    def close(self) -> None:
        """Nothing is kept outside the process."""
