"""The return path, from destination to source: its messages as values, encoded and decoded.

Promises: `encode` and `ReturnDecoder` are pure and inverse to each other; the decoder takes the bytes in
any split, raises nothing but `WireError`, and keeps no more than one message, whose size is bounded: by
the announced length, which must be the one that its kind has, and for a bitmap by the block's size.
Assumes: the caller gives the decoder the blocks whose bitmaps may come.
Does not: act on a message, nor any I/O.

A message is type, length and data; after RECV_BITMAP the bitmap itself follows: its size in bytes, one
bit for each page, lowest first, in whole words of eight bytes, and an end mark.

Source: QEMU migration/migration.c (`rp_cmd_args`, `source_return_path_thread`), migration/ram.c
(`ramblock_recv_bitmap_send`).
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from mig import wire
from mig.wire import WireError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Kind(enum.IntEnum):
    """Number of a message (`MIG_RP_MSG_*`)."""

    SHUT = 1
    PONG = 2
    REQ_PAGES_ID = 3
    REQ_PAGES = 4
    RECV_BITMAP = 5
    RESUME_ACK = 6
    SWITCHOVER_ACK = 7


class Shut(NamedTuple):
    """The destination sends nothing more; `status` 0: all was well."""

    status: int


class Pong(NamedTuple):
    """The answer to a PING of this value."""

    value: int


class RequestPages(NamedTuple):
    """Bytes `start` to `start + length` are waited for; `block` None: that of the request before."""

    start: int
    length: int
    block: str | None


class ReceivedBitmap(NamedTuple):
    """Which pages of `block` came: one bit a page, lowest bit of the first byte first."""

    block: str
    bits: bytes


class ResumeAck(NamedTuple):
    """The destination is ready to go on with a paused postcopy (`value` 1)."""

    value: int


class SwitchoverAck(NamedTuple):
    """The destination's devices allow the source to stop."""


Message = Shut | Pong | RequestPages | ReceivedBitmap | ResumeAck | SwitchoverAck
"""Anything that comes back."""

BITMAP_END: Final = 0x0123456789ABCDEF
RESUME_ACK_VALUE: Final = 1
_HEAD = struct.Struct(">HH")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_REQUEST = struct.Struct(">QI")
_SIZES: Final[Mapping[Kind, int]] = {
    Kind.SHUT: _U32.size,
    Kind.PONG: _U32.size,
    Kind.REQ_PAGES: _REQUEST.size,
    Kind.RESUME_ACK: _U32.size,
    Kind.SWITCHOVER_ACK: 0,
}
"""Bytes of data of each kind that always has the same; the others hold a name."""
_NAME_AT: Final[Mapping[Kind, int]] = {Kind.REQ_PAGES_ID: _REQUEST.size, Kind.RECV_BITMAP: 0}
_DAMAGED: Final = "the return path is damaged, or the destination another program; migrate again"


def bitmap_bytes(length: int) -> int:
    """Bytes of the bitmap of a block of `length` bytes: a bit a page, in whole words of eight bytes."""
    pages = -(-length // wire.PAGE_BYTES)
    return -(-pages // 64) * 8


def _message(kind: Kind, data: bytes) -> bytes:
    return _HEAD.pack(kind, len(data)) + data


def _request(start: int, length: int, block: str | None) -> bytes:
    data = _REQUEST.pack(
        wire.unsigned(start, 64, "page request"), wire.unsigned(length, 32, "length")
    )
    if block is None:
        return _message(Kind.REQ_PAGES, data)
    return _message(Kind.REQ_PAGES_ID, data + wire.counted_name(block))


def encode(message: Message) -> bytes:
    """The bytes of a message; raises `WireError` for a value that the format cannot carry."""
    match message:
        case Shut(status):
            return _message(Kind.SHUT, _U32.pack(wire.unsigned(status, 32, "status")))
        case Pong(value):
            return _message(Kind.PONG, _U32.pack(wire.unsigned(value, 32, "pong")))
        case RequestPages(start, length, block):
            return _request(start, length, block)
        case ReceivedBitmap(block, bits):
            if len(bits) % 8:
                raise WireError(0, f"a bitmap of {len(bits)} bytes", "fill it up to words of eight")
            head = _message(Kind.RECV_BITMAP, wire.counted_name(block))
            return head + _U64.pack(len(bits)) + bits + _U64.pack(BITMAP_END)
        case ResumeAck(value):
            return _message(Kind.RESUME_ACK, _U32.pack(wire.unsigned(value, 32, "resume")))
        case SwitchoverAck():
            return _message(Kind.SWITCHOVER_ACK, b"")


class ReturnDecoder:
    """Feed it bytes, iterate over the messages they complete, call `finish` at the end.

    `blocks` are the lengths in bytes of the RAM blocks whose bitmaps may come.
    """

    def __init__(self, blocks: Mapping[str, int] | None = None) -> None:
        self._blocks = dict(blocks or {})
        self._buffer = bytearray()
        self._base = 0
        self._ended = False

    @property
    def offset(self) -> int:
        """Position of the next message."""
        return self._base

    def feed(self, data: bytes) -> None:
        """Add the next bytes."""
        self._buffer += data

    def finish(self) -> None:
        """Say that no more bytes come: iterating raises if a message is cut short."""
        self._ended = True

    def __iter__(self) -> Iterator[Message]:
        """Yield every message that is whole; raises `WireError`."""
        while (found := self._next()) is not None:
            message, size = found
            del self._buffer[:size]
            self._base += size
            yield message
        if self._ended and self._buffer:
            raise self._fail(f"the return path ends inside a message: {bytes(self._buffer[:40])!r}")

    def _fail(self, what: str) -> WireError:
        return WireError(self._base, what, _DAMAGED)

    def _next(self) -> tuple[Message, int] | None:
        """The first message and its size in bytes; None while it is not whole."""
        if len(self._buffer) < _HEAD.size:
            return None
        number, length = _HEAD.unpack_from(self._buffer)
        kind = self._kind(number, length)
        end = _HEAD.size + length
        if len(self._buffer) < end:
            return None
        data = bytes(self._buffer[_HEAD.size : end])
        if kind is Kind.RECV_BITMAP:
            return self._bitmap(self._name(data), end)
        return self._parse(kind, data), end

    def _kind(self, number: int, length: int) -> Kind:
        try:
            kind = Kind(number)
        except ValueError:
            raise self._fail(f"return path message of type {number}") from None
        if kind in _SIZES:
            right = length == _SIZES[kind]
        else:
            right = _NAME_AT[kind] + 2 <= length <= _NAME_AT[kind] + 1 + wire.NAME_MAX
        if not right:
            raise self._fail(f"return path message {kind.name} of {length} bytes")
        return kind

    def _name(self, data: bytes) -> str:
        raw = data[1:]
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            raise self._fail(f"a RAM block's name is {raw!r}, which is no UTF-8") from None
        if len(raw) != data[0] or "\0" in name:
            raise self._fail(f"a RAM block's name is {raw!r}, announced with {data[0]} bytes")
        return name

    def _parse(self, kind: Kind, data: bytes) -> Message:
        if kind is Kind.SWITCHOVER_ACK:
            return SwitchoverAck()
        if kind in {Kind.REQ_PAGES, Kind.REQ_PAGES_ID}:
            start, length = _REQUEST.unpack_from(data)
            named = kind is Kind.REQ_PAGES_ID
            return RequestPages(start, length, self._name(data[_REQUEST.size :]) if named else None)
        (value,) = _U32.unpack(data)
        if kind is Kind.SHUT:
            return Shut(value)
        if kind is Kind.PONG:
            return Pong(value)
        if value != RESUME_ACK_VALUE:
            raise self._fail(f"return path message RESUME_ACK with {value}, expected 1")
        return ResumeAck(value)

    def _bitmap(self, block: str, at: int) -> tuple[Message, int] | None:
        if len(self._buffer) < at + _U64.size:
            return None
        (size,) = _U64.unpack_from(self._buffer, at)
        expected = bitmap_bytes(self._blocks.get(block, 0))
        if not size or size != expected:
            raise self._fail(f"a bitmap of {size} bytes for RAM block {block!r}, not {expected}")
        start = at + _U64.size
        end = start + size
        if len(self._buffer) < end + _U64.size:
            return None
        (mark,) = _U64.unpack_from(self._buffer, end)
        if mark != BITMAP_END:
            raise self._fail(f"the bitmap of RAM block {block!r} ends with {mark:#x}")
        return ReceivedBitmap(block, bytes(self._buffer[start:end])), end + _U64.size
