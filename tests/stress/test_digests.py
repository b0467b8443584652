"""Page digests and their comparison."""

from __future__ import annotations

import hashlib

import pytest

from stress import digests
from stress.digests import Digests, page_digests

PAGE = digests.PAGE


def test_digest_of_each_page_with_content() -> None:
    """Every page that is not all zeros has its number and a BLAKE2b digest of 16 bytes."""
    memory = bytes(PAGE) + b"\x01" * PAGE
    digest = hashlib.blake2b(b"\x01" * PAGE, digest_size=16).digest()

    assert Digests(2, (1).to_bytes(8, "little") + digest) == page_digests(memoryview(memory))


def test_difference_names_block_and_offset() -> None:
    """One flipped bit in one page of one block is found there, a page of zeros or not."""
    memory = bytearray(300 * PAGE)
    before = page_digests(memoryview(memory))
    memory[299 * PAGE + 17] ^= 1
    after = page_digests(memoryview(memory))
    memory[299 * PAGE + 18] ^= 1
    third = page_digests(memoryview(memory))

    place = (("b", 299 * PAGE),)
    assert (600, place) == digests.compare({"a": before, "b": before}, {"a": before, "b": after})
    assert (300, place) == digests.compare({"b": after}, {"b": third})


def test_missing_pages_differ() -> None:
    """A block or page that one side lacks counts as different."""
    two = page_digests(memoryview(bytes(2 * PAGE)))
    assert (2, (("a", 0), ("a", PAGE))) == digests.compare({"a": two}, {})
    assert (2, (("a", PAGE),)) == digests.compare({"a": Digests(1, b"")}, {"a": two})


def test_split_by_blocks() -> None:
    """Records of several blocks are cut where they belong; another size or order is refused."""
    one, two = (page_digests(memoryview(byte * (2 * PAGE))) for byte in (b"a", b"b"))
    payload = one.records + two.records
    parts = [("a", 2, 2), ("b", 2, 2)]

    assert {"a": one, "b": two} == digests.split(payload, parts)
    with pytest.raises(ValueError, match="95 bytes of digests, expected 96"):
        digests.split(payload[:-1], parts)
    with pytest.raises(ValueError, match="ascending pages below 1"):
        digests.split(one.records, [("a", 1, 2)])
    with pytest.raises(ValueError, match="ascending"):
        digests.split(one.records[24:] + one.records[:24], [("a", 2, 2)])
