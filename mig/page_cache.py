"""The page cache of XBZRLE: what the other side holds of some pages, byte for byte.

Promises: an entry found is the content last entered for that page; a page that is used stays for at least `LIFETIME`
syncs more, whatever else wants its place. Any number of pages is looked up or entered at once.
Assumes: one thread at a time; what is entered is exactly what is sent, and whatever is sent of a page that is in the
cache is entered, too.
Does not: take memory for places that were never used.

A page has one place, by its number (QEMU migration/page_cache.c: places are a power of two, age is the number of the
sync, an entry younger than two syncs is not replaced).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from mig.ram import PAGE_SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray

LIFETIME: Final = 2
"""Syncs for which an entry is safe from being replaced."""
_NOBODY: Final = -1


class Found(NamedTuple):
    """`held[i]` says whether page i is in the cache; `data` has a row for each that is."""

    held: NDArray[np.bool_]
    data: NDArray[np.uint8]


class PageCache:
    """Places for pages in at most `size` bytes: a power of two of them, at least one."""

    def __init__(self, size: int) -> None:
        self.places = self.rounded(size) // PAGE_SIZE
        self._page = np.full(self.places, _NOBODY, dtype=np.int64)
        self._age = np.zeros(self.places, dtype=np.int64)
        self._data = np.empty((self.places, PAGE_SIZE), dtype=np.uint8)

    @staticmethod
    def rounded(size: int) -> int:
        """Bytes of all places of a cache that may take `size`."""
        return PAGE_SIZE << max(0, (size // PAGE_SIZE).bit_length() - 1)

    def find(self, pages: NDArray[np.int64]) -> Found:
        """What is held of `pages`, by their numbers over all blocks; a copy."""
        place = pages & self.places - 1
        held = self._page[place] == pages
        return Found(held, self._data[place[held]])

    def put(self, pages: NDArray[np.int64], data: NDArray[np.uint8] | None, age: int) -> None:
        """Enter `pages` (each once) with the rows of `data`, None for zeros, where a place may be had.

        A page that is held is always replaced by itself; of several that want one place the first gets it.
        """
        place = pages & self.places - 1
        own = self._page[place] == pages
        free = (self._page[place] == _NOBODY) | (self._age[place] + LIFETIME <= age)
        # A place whose page is among these is not given to another of them.
        takes = np.flatnonzero(own | (free & ~np.isin(place, place[own])))
        takes = takes[np.unique(place[takes], return_index=True)[1]]
        self._page[place[takes]] = pages[takes]
        self._age[place[takes]] = age
        self._data[place[takes]] = 0 if data is None else data[takes]
