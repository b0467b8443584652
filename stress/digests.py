"""Digests of guest memory, page by page: how two processes compare what they hold.

Promises: equal pages have equal digests; different ones differ but for a chance of 2^-128 (BLAKE2b
with 16 bytes). Assumes: nobody writes to the memory meanwhile. Does not: lock.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PAGE: Final = 4096
PART: Final = 64 << 20
DIGEST: Final = 16
"""Bytes of one page's digest."""


class Difference(NamedTuple):
    """Result of a comparison: pages compared, and (block, byte offset) of those that differ."""

    compared: int
    pages: tuple[tuple[str, int], ...]


def page_digests(memory: memoryview, advance: Callable[[], None] = lambda: None) -> bytes:
    """16 bytes for each 4096-byte page of `memory`, one after the other.

    `advance` is called after every 64 MiB: that much takes less than a second.
    """
    blake2b = hashlib.blake2b
    made: list[bytes] = []
    for start in range(0, len(memory), PART):
        made.extend(
            blake2b(memory[at : at + PAGE], digest_size=DIGEST).digest()
            for at in range(start, min(start + PART, len(memory)), PAGE)
        )
        advance()
    return b"".join(made)


def split(payload: bytes, blocks: Sequence[tuple[str, int]]) -> dict[str, bytes]:
    """Cut the digests of several blocks (name, bytes) apart; `ValueError` for another total size."""
    expected = sum(length // PAGE * DIGEST for _, length in blocks)
    if len(payload) != expected:
        raise ValueError(f"{len(payload)} bytes of digests, expected {expected}")
    result: dict[str, bytes] = {}
    at = 0
    for name, length in blocks:
        end = at + length // PAGE * DIGEST
        result[name] = payload[at:end]
        at = end
    return result


def compare(source: Mapping[str, bytes], destination: Mapping[str, bytes]) -> Difference:
    """Compare the digests of every block, page by page; a page one side lacks differs."""
    compared = 0
    differing: list[tuple[str, int]] = []
    for name in sorted(source.keys() | destination.keys()):
        ours, theirs = source.get(name, b""), destination.get(name, b"")
        pages = max(len(ours), len(theirs)) // DIGEST
        compared += pages
        if ours != theirs:
            differing.extend(
                (name, page * PAGE)
                for page in range(pages)
                if ours[page * DIGEST : (page + 1) * DIGEST]
                != theirs[page * DIGEST : (page + 1) * DIGEST]
            )
    return Difference(compared, tuple(differing))
