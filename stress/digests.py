"""Digests of guest memory, page by page: how two processes compare what they hold.

Promises: equal pages have equal digests; different ones differ but for a chance of 2^-128 (BLAKE2b
with 16 bytes). A page of zeros has no record, so a guest of 128 GiB that is mostly untouched costs what
its contents cost, and a page with a record on one side only differs.
Assumes: nobody writes to the memory meanwhile. Does not: lock.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PAGE: Final = 4096
PART: Final = 64 << 20
DIGEST: Final = 16
"""Bytes of one page's digest."""
RECORD: Final = 8 + DIGEST
"""Bytes of one record: the page's number, little endian, and its digest."""
_BATCH: Final = 256
"""Pages looked at together when testing for zeros: one MiB stays in the cache."""


class Digests(NamedTuple):
    """Of one block: how many pages it has, and the records of those with content, in order."""

    pages: int
    records: bytes

    def table(self) -> dict[int, bytes]:
        """Page number to digest."""
        at = range(0, len(self.records), RECORD)
        return {
            int.from_bytes(self.records[i : i + 8], "little"): self.records[i + 8 : i + RECORD]
            for i in at
        }


NOTHING: Final = Digests(0, b"")


class Difference(NamedTuple):
    """Result of a comparison: pages compared, and (block, byte offset) of those that differ."""

    compared: int
    pages: tuple[tuple[str, int], ...]


def page_digests(memory: memoryview, advance: Callable[[], None] = lambda: None) -> Digests:
    """Digest every page of `memory` that is not all zeros.

    `advance` is called after every 64 MiB: that much takes less than a second.
    """
    blake2b = hashlib.blake2b
    words = np.frombuffer(memory, dtype=np.uint64).reshape(-1, PAGE // 8)
    made: list[bytes] = []
    for start in range(0, len(words), _BATCH):
        used = np.flatnonzero(np.bitwise_or.reduce(words[start : start + _BATCH], axis=1))
        for page in (used + start).tolist():
            made.append(page.to_bytes(8, "little"))
            made.append(
                blake2b(memory[page * PAGE : (page + 1) * PAGE], digest_size=DIGEST).digest()
            )
        if start * PAGE % PART == 0:
            advance()
    return Digests(len(words), b"".join(made))


def split(payload: bytes, parts: Sequence[tuple[str, int, int]]) -> dict[str, Digests]:
    """Cut the records of several blocks apart; `parts` are (name, pages, records).

    `ValueError` for another total size, or records that are not of ascending pages of the block.
    """
    expected = sum(records for _, _, records in parts) * RECORD
    if len(payload) != expected:
        raise ValueError(f"{len(payload)} bytes of digests, expected {expected}")
    result: dict[str, Digests] = {}
    at = 0
    for name, pages, records in parts:
        mine = payload[at : at + records * RECORD]
        numbers = np.frombuffer(mine, dtype=np.uint8).reshape(-1, RECORD)[:, :8].copy().view("<u8")
        if numbers.size and (numbers[-1, 0] >= pages or (numbers[1:] <= numbers[:-1]).any()):
            raise ValueError(f"digests of block {name!r} are not of ascending pages below {pages}")
        result[name] = Digests(pages, mine)
        at += len(mine)
    return result


def compare(source: Mapping[str, Digests], destination: Mapping[str, Digests]) -> Difference:
    """Compare the digests of every block, page by page; a page one side lacks differs."""
    compared = 0
    differing: list[tuple[str, int]] = []
    for name in sorted(source.keys() | destination.keys()):
        ours, theirs = source.get(name, NOTHING), destination.get(name, NOTHING)
        compared += max(ours.pages, theirs.pages)
        if ours != theirs:
            differing.extend((name, page * PAGE) for page in _different(ours, theirs))
    return Difference(compared, tuple(differing))


def _different(ours: Digests, theirs: Digests) -> list[int]:
    here, there = ours.table(), theirs.table()
    lacking = range(min(ours.pages, theirs.pages), max(ours.pages, theirs.pages))
    unequal = {page for page in here.keys() | there.keys() if here.get(page) != there.get(page)}
    return sorted(unequal.union(lacking))
