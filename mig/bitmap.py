"""The private migration bitmap: one bit a page, with its counter.

Promises: whenever `lock` is free, `count` equals the number of set bits; a page is cleared by
`take` before it is read. Bits outside [0, pages) are never set.
Assumes: the caller holds `lock` in every method but `population`.
Does not: know blocks, or the shared log.

One numpy buffer of 64-bit words holds the bits; a little-endian bitarray over the same bytes finds
and flips single bits at C speed.

Source: QEMU c6bf8e0e0c (a bitmap of its own), 386a907b37 (bitmap and counter under one lock).
"""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Final

import numpy as np
from bitarray import bitarray

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mig.tracepoints import Tracepoints

MAX_PAGES: Final = 1 << 32
"""Most pages a bitmap may cover: 16 TiB of guest memory."""


class Bitmap:
    """`pages` bits, all clear; `count` of them are set."""

    __slots__ = ("_bits", "_words", "count", "lock", "pages", "trace")

    def __init__(self, pages: int, trace: Tracepoints) -> None:
        if not 0 <= pages <= MAX_PAGES:
            raise ValueError(f"a bitmap of {pages} pages; give 0 to {MAX_PAGES}")
        self.lock = threading.Lock()
        self.pages = pages
        self.count = 0
        self.trace = trace
        self._words: NDArray[np.uint64] = np.zeros((pages + 63) // 64, dtype=np.uint64)
        self._bits = bitarray(endian="little", buffer=self._words.view(np.uint8))

    def _declare(self, lo: int, hi: int, *, write: bool) -> None:
        if (listener := self.trace.listener) is not None:
            listener.access("bitmap", lo, hi, write)

    def _check(self, lo: int, hi: int) -> None:
        if not 0 <= lo <= hi <= self.pages:
            raise IndexError(f"pages {lo} to {hi} of a bitmap of {self.pages}")

    def test(self, page: int) -> bool:
        """Whether `page` is dirty."""
        self._check(page, page + 1)
        return bool(self._bits[page])

    def set(self, page: int) -> bool:
        """Mark `page`; whether it was clean."""
        self._check(page, page + 1)
        self._declare(page, page + 1, write=True)
        if self._bits[page]:
            return False
        self._bits[page] = 1
        self.count += 1
        return True

    def set_run(self, lo: int, hi: int) -> int:
        """Mark the pages [lo, hi); the number of those that were clean."""
        self._check(lo, hi)
        self._declare(lo, hi, write=True)
        newly = hi - lo - self._bits.count(1, lo, hi)
        self._bits[lo:hi] = 1
        self.count += newly
        return newly

    def test_and_clear(self, page: int) -> bool:
        """Clear `page`; whether it was dirty."""
        self._check(page, page + 1)
        self._declare(page, page + 1, write=True)
        if not self._bits[page]:
            return False
        self._bits[page] = 0
        self.count -= 1
        return True

    def clear_run(self, lo: int, hi: int) -> int:
        """Clear the pages [lo, hi); the number of those that were dirty."""
        self._check(lo, hi)
        self._declare(lo, hi, write=True)
        cleared = self._bits.count(1, lo, hi)
        self._bits[lo:hi] = 0
        self.count -= cleared
        return cleared

    def take(self, start: int, limit: int, most: int) -> NDArray[np.intp]:
        """Clear the first `most` dirty pages in [start, limit); their numbers, ascending."""
        self._check(start, limit)
        self._declare(start, limit, write=True)
        found = np.fromiter(
            itertools.islice(self._bits.search(1, start, limit), most), dtype=np.intp
        )
        if found.size:
            lo, hi = int(found[0]), int(found[-1]) + 1
            # What lies between the pages found is clear already.
            self._bits[lo:hi] = 0
            self.count -= found.size
        return found

    def harvest(self, pages: NDArray[np.intp], first: int = 0) -> int:
        """Mark `first` + each of `pages` (ascending, each once); the number newly marked."""
        if not pages.size:
            return 0
        lo, hi = first + int(pages[0]), first + int(pages[-1]) + 1
        self._check(lo, hi)
        self._declare(lo, hi, write=True)
        if hi - lo == pages.size:
            newly = hi - lo - self._bits.count(1, lo, hi)
            self._bits[lo:hi] = 1
        else:
            found = pages + first
            words, bits = found >> 6, np.uint64(1) << (found & 63).astype(np.uint64)
            newly = int(np.count_nonzero((self._words[words] & bits) == 0))
            np.bitwise_or.at(self._words, words, bits)
        self.count += newly
        return newly

    def next_run(self, start: int, limit: int) -> tuple[int, int] | None:
        """The first run [lo, hi) of dirty pages in [start, limit), None without one."""
        lo = self._bits.find(1, start, min(limit, self.pages))
        if lo < 0:
            return None
        hi = self._bits.find(0, lo, min(limit, self.pages))
        return lo, min(limit, self.pages) if hi < 0 else hi

    def population(self) -> int:
        """The number of set bits, counted: equals `count` whenever the lock is free."""
        return self._bits.count(1)
