"""Page deltas: what they do to a page, and that a broken one leaves it alone."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mig import xbzrle


def textbook(old: bytes, new: bytes) -> bytes:
    """The textbook encoder, byte by byte."""
    out = bytearray()
    at = 0
    while at < len(new):
        start = at
        while at < len(new) and old[at] == new[at]:
            at += 1
        if at == len(new):
            break
        fresh = at
        while at < len(new) and old[at] != new[at]:
            at += 1
        for length in (fresh - start, at - fresh):
            out += bytes((length,)) if length < 128 else bytes((length & 127 | 128, length >> 7))
        out += new[fresh:at]
    return bytes(out)


@given(st.lists(st.tuples(st.integers(0, 4095), st.binary(min_size=1, max_size=300)), max_size=6))
def test_delta_gives_the_new_page(patches: list[tuple[int, bytes]]) -> None:
    """Old page and delta make the new page."""
    old = bytes(range(256)) * 16
    new = bytearray(old)
    for at, patch in patches:
        new[at : at + len(patch)] = patch[: 4096 - at]
    page = bytearray(old)
    xbzrle.decode(textbook(old, bytes(new)), memoryview(page))
    assert page == new


@given(st.binary(max_size=60))
def test_any_delta_is_safe(delta: bytes) -> None:
    """Random bytes change the page by a valid delta or leave it as it was."""
    page = bytearray(64)
    try:
        xbzrle.decode(delta, memoryview(page))
    except xbzrle.DeltaError:
        assert page == bytes(64)
    assert len(page) == 64


@pytest.mark.parametrize(
    "delta",
    [
        b"\x01",
        b"\x01\x00",
        b"\x00\x01a\x00\x01b",
        b"\x00\x05abc",
        b"\x40\x01a",
        b"\x80",
        b"\x80\x80\x01",
    ],
)
def test_broken_delta_is_refused(delta: bytes) -> None:
    """Cut, empty, overlong and outward runs are refused and change nothing."""
    page = bytearray(64)
    with pytest.raises(xbzrle.DeltaError):
        xbzrle.decode(delta, memoryview(page))
    assert page == bytes(64)


PATCHES = st.lists(
    st.tuples(st.integers(0, 4095), st.integers(1, 4096), st.integers(0, 255)), max_size=6
)


@given(st.lists(PATCHES, min_size=1, max_size=5), st.integers(0, 12))
def test_encoded(pages: list[list[tuple[int, int, int]]], free: int) -> None:
    """What is encoded is decoded to the new page, and no longer than what the textbook makes of it."""
    old = np.frombuffer(bytes(range(256)) * 16 * len(pages), dtype=np.uint8).reshape(-1, 4096)
    new = old.copy()
    for row, patches in zip(new, pages, strict=True):
        for at, length, value in patches:
            row[at : at + length] = np.arange(value, value + len(row[at : at + length])) % 251
    made = xbzrle.encode(old, new, free)
    at = 0
    for before, after, size in zip(old, new, made.size.tolist(), strict=True):
        plain = textbook(bytes(before), bytes(after))
        if size > 0:
            delta = bytes(made.data[at + free : at + free + size])
            at += free + size
            assert size <= len(plain)
            page = bytearray(before)
            xbzrle.decode(delta, memoryview(page))
            assert bytes(after) == page
        else:
            assert (size == 0) == (plain == b"")
            assert size == 0 or len(plain) > xbzrle.DENSE
    assert at == len(made.data)


def test_too_long() -> None:
    """A page whose delta would not be shorter than itself has none, though few bytes changed."""
    old = np.zeros((3, 4096), dtype=np.uint8)
    new = old.copy()
    new[1, ::4] = 1
    new[2] = 1
    assert [0, 3072, -1] == xbzrle.encode(old, new).size.tolist()
