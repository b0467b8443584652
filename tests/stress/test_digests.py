"""Page digests and their comparison."""

from __future__ import annotations

import hashlib

import pytest

from stress import digests

PAGE = digests.PAGE


def test_digest_of_each_page() -> None:
    """Every page has its own BLAKE2b digest of 16 bytes."""
    memory = bytes(PAGE) + b"\x01" * PAGE
    expected = [
        hashlib.blake2b(memory[at : at + PAGE], digest_size=16).digest() for at in (0, PAGE)
    ]
    assert digests.page_digests(memoryview(memory)) == b"".join(expected)


def test_difference_names_block_and_offset() -> None:
    """One flipped bit in one page of one block is found there."""
    memory = bytearray(3 * PAGE)
    before = digests.page_digests(memoryview(memory))
    memory[PAGE + 17] ^= 1
    after = digests.page_digests(memoryview(memory))
    assert digests.compare({"a": before, "b": before}, {"a": before, "b": after}) == (
        6,
        (("b", PAGE),),
    )


def test_missing_pages_differ() -> None:
    """A block or page that one side lacks counts as different."""
    two = digests.page_digests(memoryview(bytes(2 * PAGE)))
    assert digests.compare({"a": two}, {}) == (2, (("a", 0), ("a", PAGE)))
    assert digests.compare({"a": two[:16]}, {"a": two}) == (2, (("a", PAGE),))


def test_split_by_blocks() -> None:
    """Digests of several blocks are cut at their page counts; another size is refused."""
    payload = bytes(range(48))
    blocks = [("a", PAGE), ("b", 2 * PAGE)]
    assert digests.split(payload, blocks) == {"a": payload[:16], "b": payload[16:]}
    with pytest.raises(ValueError, match="47 bytes of digests, expected 48"):
        digests.split(payload[:-1], blocks)
