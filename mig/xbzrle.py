"""Page deltas (XBZRLE): encoder and decoder.

Promises: `decode` of what `encode` made, applied to the old content, gives the new content, and QEMU 7.2 decodes it,
too; `decode` changes the page only when the whole delta is valid; every read and write stays inside the delta and the
page. Assumes: the page holds the content the delta was made against; there is no check sum that could tell, so what is
encoded must not change meanwhile. Does not: remember what the other side holds (`mig.page_cache`).

A delta repeats: length of a run of unchanged bytes, length of a run of new bytes, the new bytes.
Lengths are unsigned LEB128 of at most two bytes (Svaerd, Hudzia, Tordsson and Elmroth, "Evaluation
of delta compression techniques for efficient live migration of large virtual machines", VEE 2011;
QEMU migration/xbzrle.c). A gap of one or two unchanged bytes is sent as new: two lengths cost as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_LENGTH_BYTES: Final = 2
PAGE_BYTES: Final = 4096
DENSE: Final = PAGE_BYTES * 3 // 4
"""More changed bytes than this, and the page is sent as it is: a delta would save little."""
_CONTINUED: Final = 0x80
_PAGE_BITS: Final = 12
_JOINED: Final = 3
"""New bytes no farther apart than this belong to one run."""


class DeltaError(ValueError):
    """A delta that is cut short, leaves the page, or is not in the encoder's normal form."""


def _length(delta: bytes | memoryview, at: int) -> tuple[int, int]:
    if at >= len(delta):
        message = f"delta of {len(delta)} bytes ends where a run length should begin"
        raise DeltaError(message)
    first = delta[at]
    if first < _CONTINUED:
        return first, at + 1
    if at + 1 >= len(delta):
        message = f"delta of {len(delta)} bytes ends inside a run length"
        raise DeltaError(message)
    second = delta[at + 1]
    if second >= _CONTINUED:
        message = f"run length at byte {at} is longer than {MAX_LENGTH_BYTES} bytes"
        raise DeltaError(message)
    return first & 0x7F | second << 7, at + MAX_LENGTH_BYTES


def _runs(delta: bytes | memoryview, size: int) -> list[tuple[int, int, int]]:
    runs: list[tuple[int, int, int]] = []
    at = position = 0
    while at < len(delta):
        start = at
        same, at = _length(delta, at)
        if same == 0 and start > 0:
            message = f"empty run of unchanged bytes at byte {start}"
            raise DeltaError(message)
        fresh, at = _length(delta, at)
        position += same
        if fresh == 0 or position + fresh > size or at + fresh > len(delta):
            message = f"run of {fresh} new bytes at {position} of a page of {size} bytes"
            raise DeltaError(message)
        runs.append((position, at, fresh))
        position += fresh
        at += fresh
    return runs


def decode(delta: bytes | memoryview, page: memoryview) -> None:
    """Turn `page` (writable bytes, the old content) into the new content in place.

    Raises `DeltaError`, with the page unchanged, when the delta is invalid.
    """
    for position, at, fresh in _runs(delta, len(page)):
        page[position : position + fresh] = delta[at : at + fresh]


class Deltas(NamedTuple):
    """Deltas of equally many pages.

    `size[i]` is the length of page i's delta in bytes: 0 for a page that did not change, -1 for one that had better be
    sent as it is. `data` holds the deltas of the others in their order, with free bytes before each.
    """

    data: NDArray[np.uint8]
    size: NDArray[np.int64]


def encode(old: NDArray[np.uint8], new: NDArray[np.uint8], free: int = 0) -> Deltas:
    """Deltas from the rows of `old` to those of `new` (each of 4096 bytes, contiguous), `free` bytes before each.

    A delta is kept when it and its lengths are shorter than a page.
    """
    count = len(new)
    size = np.zeros(count, dtype=np.int64)
    at = _changed(old, new, size)
    if not at.size:
        return Deltas(np.empty(0, dtype=np.uint8), size)
    runs = _Runs.of(at)
    size += np.bincount(runs.page, weights=runs.length(), minlength=count).astype(np.int64)
    size[size >= PAGE_BYTES] = -1
    runs = runs.only(size[runs.page] > 0)
    return Deltas(_laid_out(runs, new.reshape(-1), free), size)


def _changed(
    old: NDArray[np.uint8], new: NDArray[np.uint8], size: NDArray[np.int64]
) -> NDArray[np.intp]:
    """Positions of changed bytes over all pages; pages with too many are left out and get size -1."""
    differ = old.view(np.uint64) != new.view(np.uint64)
    heavy = np.flatnonzero(np.count_nonzero(differ, axis=1) > DENSE // 8)
    if heavy.size:
        dense = heavy[np.count_nonzero(old[heavy] != new[heavy], axis=1) > DENSE]
        size[dense] = -1
        differ[dense] = False
    words = np.flatnonzero(differ)
    before, after = old.view(np.uint64).reshape(-1)[words], new.view(np.uint64).reshape(-1)[words]
    within = np.flatnonzero((before ^ after).view(np.uint8))
    at: NDArray[np.intp] = words[within >> 3] * 8 + (within & 7)
    return at


class _Runs(NamedTuple):
    """Runs of new bytes: the page, the first byte over all pages, unchanged bytes before, new bytes."""

    page: NDArray[np.intp]
    start: NDArray[np.intp]
    same: NDArray[np.intp]
    fresh: NDArray[np.intp]

    @classmethod
    def of(cls, at: NDArray[np.intp]) -> _Runs:
        """The runs of the changed bytes at these positions, at least one."""
        apart = np.diff(at) > _JOINED
        apart |= np.diff(at >> _PAGE_BITS) != 0
        cut = np.flatnonzero(apart)
        start = at[np.concatenate(([0], cut + 1))]
        end = at[np.concatenate((cut, [at.size - 1]))] + 1
        page = start >> _PAGE_BITS
        before = np.maximum(np.concatenate(([0], end[:-1])), page << _PAGE_BITS)
        return cls(page, start, start - before, end - start)

    def only(self, kept: NDArray[np.bool_]) -> _Runs:
        """Some of the runs, all runs of a page or none."""
        return self if kept.all() else _Runs(*(column[kept] for column in self))

    def heads(self) -> NDArray[np.intp]:
        """Bytes of the two lengths of each run."""
        return 2 + (self.same >= _CONTINUED) + (self.fresh >= _CONTINUED)

    def length(self) -> NDArray[np.intp]:
        """Bytes of each run in a delta."""
        return self.heads() + self.fresh


def _laid_out(runs: _Runs, new: NDArray[np.uint8], free: int) -> NDArray[np.uint8]:
    """The runs as bytes, `free` bytes before the first run of each page."""
    length = runs.length()
    firsts = np.concatenate(([True], np.diff(runs.page) != 0))[: length.size]
    end = np.cumsum(length + firsts * free)
    data = np.zeros(int(end[-1]) if end.size else 0, dtype=np.uint8)
    begin = end - length
    at = begin + _put_lengths(data, begin, runs.same)
    at += _put_lengths(data, at, runs.fresh)
    step = np.arange(int(runs.fresh.sum()))
    before = np.cumsum(runs.fresh) - runs.fresh
    data[np.repeat(at - before, runs.fresh) + step] = new[
        np.repeat(runs.start - before, runs.fresh) + step
    ]
    return data


def _put_lengths(
    data: NDArray[np.uint8], at: NDArray[np.intp], lengths: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Write lengths at these places; the bytes each takes."""
    long = lengths >= _CONTINUED
    data[at] = np.where(long, lengths & 0x7F | _CONTINUED, lengths)
    data[at[long] + 1] = lengths[long] >> 7
    return 1 + long.astype(np.intp)
