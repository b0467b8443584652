"""XBZRLE at the source: which pages travel as deltas, and its figures.

Promises: a delta is made against exactly what was sent of that page last, and the cache then holds exactly what the
delta makes; every page is counted once: as sent whole, as a delta, as zeros, or as unchanged.
Assumes: called by the walk, for every page that it sends since `on`; what it is given is a copy that no vCPU writes to.
Does not: decide when deltas begin (not in the first round, `mig.ram_save`).

Source: QEMU migration/ram.c (save_xbzrle_page, xbzrle_cache_zero_page, migration_update_rates).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from mig import wire, xbzrle
from mig.page_cache import PageCache
from mig.ram import PAGE_SIZE

if TYPE_CHECKING:
    from numpy.typing import NDArray

WORD: Final = 8
"""Bytes of the word in front of a record."""
HEAD: Final = WORD + 3
"""Bytes in front of a delta: the word, the encoding, the length."""
_ENCODING: Final = 1


@dataclasses.dataclass(slots=True)
class XbzrleStats:
    """The figures of `query-migrate`, under its names."""

    cache_size: int
    """Bytes."""
    bytes: int = 0
    """Of deltas, with encoding and length, without the word in front of each record."""
    pages: int = 0
    """Sent as a delta."""
    cache_miss: int = 0
    """Pages with content that were not in the cache, hence sent whole."""
    cache_miss_rate: float = 0.0
    """Misses for each page walked, between the last two syncs."""
    encoding_rate: float = 0.0
    """Bytes of pages for each byte of their deltas, between the last two syncs; 0 without any."""
    overflow: int = 0
    """Pages in the cache that were sent whole, because their delta would save too little."""
    unchanged: int = 0
    """Pages that were marked and had not changed: nothing was sent (no figure of QEMU's)."""


class Encoded(NamedTuple):
    """What became of a batch: `whole[i]`: page i is to be sent whole; `deltas`: the pages that `records` are of."""

    whole: NDArray[np.bool_]
    deltas: NDArray[np.intp]
    records: NDArray[np.uint8]


class DeltaSender:
    """Cache and figures of one migration; `on` from the second round."""

    def __init__(self, cache_size: int) -> None:
        self.on = False
        self._asked = cache_size
        self._cache: PageCache | None = None
        self.stats = XbzrleStats(PageCache.rounded(cache_size))
        self._before = (0, 0, 0, 0)

    @property
    def saved(self) -> int:
        """Bytes that deltas were shorter than their pages, so far."""
        return self.stats.pages * PAGE_SIZE - self.stats.bytes

    def resize(self, cache_size: int) -> None:
        """Use a cache of at most `cache_size` bytes from now on; a new one begins empty."""
        if cache_size != self._asked:
            self._asked, self._cache = cache_size, None
            self.stats.cache_size = PageCache.rounded(cache_size)

    def _held(self) -> PageCache:
        if self._cache is None:
            self._cache = PageCache(self._asked)
        return self._cache

    def zeros(self, numbers: NDArray[np.intp], age: int) -> None:
        """Pages (numbers over all blocks) are sent as zeros."""
        if numbers.size:
            self._held().put(numbers, None, age)

    def encode(
        self,
        numbers: NDArray[np.intp],
        addresses: NDArray[np.intp],
        data: NDArray[np.uint8],
        age: int,
    ) -> Encoded:
        """Pages with content: `numbers` over all blocks, `addresses` in bytes within theirs, a row of `data` each."""
        cache, stats = self._held(), self.stats
        found = cache.find(numbers)
        held = np.flatnonzero(found.held)
        stats.cache_miss += len(numbers) - held.size
        made = xbzrle.encode(found.data, np.ascontiguousarray(data[held]), HEAD)
        cache.put(numbers, data, age)
        whole = ~found.held
        whole[held[made.size < 0]] = True
        sent = made.size > 0
        sizes = made.size[sent]
        stats.overflow += int(np.count_nonzero(made.size < 0))
        stats.unchanged += int(np.count_nonzero(made.size == 0))
        stats.pages += sizes.size
        stats.bytes += int(sizes.sum()) + sizes.size * (HEAD - WORD)
        deltas = held[sent]
        if deltas.size:
            _put_heads(made.data, addresses[deltas], sizes)
        return Encoded(whole, deltas, made.data)

    def update_rates(self, walked: int) -> None:
        """At a sync: rates since the last one; `walked` pages were sent in any way since the start."""
        stats = self.stats
        before, now = self._before, (walked, stats.cache_miss, stats.pages, stats.bytes)
        pages, misses, deltas, size = (new - old for new, old in zip(now, before, strict=True))
        if pages:
            stats.cache_miss_rate = misses / pages
            stats.encoding_rate = deltas * PAGE_SIZE / size if size else 0.0
            self._before = now


def _put_heads(
    records: NDArray[np.uint8], addresses: NDArray[np.intp], sizes: NDArray[np.int64]
) -> None:
    """Fill the free bytes in front of each delta."""
    at = np.cumsum(sizes + HEAD) - sizes - HEAD
    heads = np.empty((len(sizes), HEAD), dtype=np.uint8)
    words = addresses.astype(np.uint64) | np.uint64(wire.FLAG_XBZRLE | wire.FLAG_CONTINUE)
    heads[:, :WORD] = words.astype(">u8").view(np.uint8).reshape(-1, WORD)
    heads[:, WORD] = _ENCODING
    heads[:, WORD + 1 :] = sizes.astype(">u2").view(np.uint8).reshape(-1, 2)
    records[at[:, None] + np.arange(HEAD)] = heads
