"""Page deltas (XBZRLE): the decoder.

Promises: `decode` changes the page only when the whole delta is valid; every read and write stays
inside the delta and the page. Assumes: the page holds the content the delta was made against; there
is no check sum that could tell. Does not: encode.

A delta repeats: length of a run of unchanged bytes, length of a run of new bytes, the new bytes.
Lengths are unsigned LEB128 of at most two bytes (Svaerd, Hudzia, Tordsson and Elmroth, "Evaluation
of delta compression techniques for efficient live migration of large virtual machines", VEE 2011;
QEMU migration/xbzrle.c).
"""

from __future__ import annotations

from typing import Final

MAX_LENGTH_BYTES: Final = 2
_CONTINUED: Final = 0x80


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
