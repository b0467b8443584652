"""Page deltas: what they do to a page, and that a broken one leaves it alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mig import xbzrle


def encode(old: bytes, new: bytes) -> bytes:
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
    xbzrle.decode(encode(old, bytes(new)), memoryview(page))
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
