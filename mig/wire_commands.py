"""The source's commands (`MIG_CMD_*`) as values: parsed from the data of a COMMAND section, and encoded.

Promises: pure; `parse` refuses an unknown command, a wrong length, or values out of their bounds with
`WireError`; what `encode` makes is parsed back equal. A package's stream of sections follows its command
in the stream and is no part of it (`Packaged` says how many bytes).
Assumes: pages of 4096 bytes. Does not: act on a command.

Source: QEMU migration/savevm.c (`mig_cmd_args`, `loadvm_process_command`, `loadvm_postcopy_ram_handle_discard`).
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from mig import wire
from mig.wire import WireError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Code(enum.IntEnum):
    """Number of a command."""

    OPEN_RETURN_PATH = 1
    PING = 2
    POSTCOPY_ADVISE = 3
    POSTCOPY_LISTEN = 4
    POSTCOPY_RUN = 5
    POSTCOPY_RAM_DISCARD = 6
    PACKAGED = 7
    ENABLE_COLO = 8
    POSTCOPY_RESUME = 9
    RECV_BITMAP = 10
    SWITCHOVER_START = 11
    STAGE3_CLAIM = 0x5333


BARE: Final = frozenset(
    {
        Code.OPEN_RETURN_PATH,
        Code.POSTCOPY_LISTEN,
        Code.POSTCOPY_RUN,
        Code.ENABLE_COLO,
        Code.POSTCOPY_RESUME,
        Code.SWITCHOVER_START,
    }
)
"""Commands without data."""
DISCARD_RANGES: Final = 12
"""Most ranges of one discard command (`MAX_DISCARDS_PER_COMMAND`)."""
_U32 = struct.Struct(">I")
_PAIR = struct.Struct(">QQ")
_DISCARD_VERSION: Final = 0
_DAMAGED: Final = "the stream is damaged or from another program; have the source write it again"


class Bare(NamedTuple):
    """A command that says everything by its number."""

    code: Code


class Ping(NamedTuple):
    """The destination answers with the same value."""

    value: int


class PostcopyAdvise(NamedTuple):
    """Postcopy may follow: the sizes of host pages in use, or-ed, and of a target page, in bytes.

    Both 0 (and no data) when only bitmaps are sent after the switch.
    """

    page_sizes: int
    target_page: int


class RamDiscard(NamedTuple):
    """Pages of `block` to be dropped: (first byte, length) of each range, page aligned."""

    block: str
    ranges: tuple[tuple[int, int], ...]


class Packaged(NamedTuple):
    """A stream of sections of `size` bytes follows."""

    size: int


class RecvBitmap(NamedTuple):
    """The destination is asked for its bitmap of received pages of `block`."""

    block: str


class Claimed(NamedTuple):
    """What a stage3 says that it sent, to a destination that answered that it is one; `more` text follows.

    Not of QEMU's; `mig.checks` reads the text.
    """

    text: bytes
    more: bool


Value = Bare | Ping | PostcopyAdvise | RamDiscard | Packaged | RecvBitmap | Claimed
"""Any command."""


def _wrong(code: Code, data: bytes, offset: int) -> WireError:
    what = f"command {code.name} with {len(data)} bytes of data: {data[:40]!r}"
    return WireError(offset, what, _DAMAGED)


def _name(code: Code, data: bytes, offset: int) -> tuple[str, bytes]:
    """A counted name at the begin of `data`, and what follows it."""
    size = data[0] if data else 0
    raw = data[1 : 1 + size]
    try:
        name = raw.decode()
    except UnicodeDecodeError:
        raise _wrong(code, data, offset) from None
    if not size or len(raw) != size or "\0" in name:
        raise _wrong(code, data, offset)
    return name, data[1 + size :]


def _ping(data: bytes, offset: int) -> Value:
    if len(data) != _U32.size:
        raise _wrong(Code.PING, data, offset)
    return Ping(*_U32.unpack(data))


def _advise(data: bytes, offset: int) -> Value:
    if not data:
        return PostcopyAdvise(0, 0)
    if len(data) != _PAIR.size:
        raise _wrong(Code.POSTCOPY_ADVISE, data, offset)
    advise = PostcopyAdvise(*_PAIR.unpack(data))
    if advise != (wire.PAGE_BYTES, wire.PAGE_BYTES):
        what = f"postcopy with pages of {advise.page_sizes:#x} and {advise.target_page:#x} bytes"
        raise WireError(offset, what, f"use guest memory of {wire.PAGE_BYTES}-byte pages")
    return advise


def _discard(data: bytes, offset: int) -> Value:
    code = Code.POSTCOPY_RAM_DISCARD
    if data[:1] != bytes((_DISCARD_VERSION,)):
        raise _wrong(code, data, offset)
    block, rest = _name(code, data[1:], offset)
    ranges = rest[1:]
    count, odd = divmod(len(ranges), _PAIR.size)
    if rest[:1] != b"\0" or odd or not 0 < count <= DISCARD_RANGES:
        raise _wrong(code, data, offset)
    pairs = tuple(_PAIR.unpack_from(ranges, at * _PAIR.size) for at in range(count))
    for start, length in pairs:
        if (start | length) & wire.FLAG_MASK or not length or start + length >= 1 << 64:
            what = f"a discard of {length:#x} bytes at {start:#x} of RAM block {block!r}"
            raise WireError(offset, what, _DAMAGED)
    return RamDiscard(block, pairs)


def _packaged(data: bytes, offset: int) -> Value:
    if len(data) != _U32.size:
        raise _wrong(Code.PACKAGED, data, offset)
    return Packaged(*_U32.unpack(data))


def _recv_bitmap(data: bytes, offset: int) -> Value:
    block, rest = _name(Code.RECV_BITMAP, data, offset)
    if rest:
        raise _wrong(Code.RECV_BITMAP, data, offset)
    return RecvBitmap(block)


def _claimed(data: bytes, offset: int) -> Value:
    if data[:1] not in {b"\0", b"\1"}:
        raise _wrong(Code.STAGE3_CLAIM, data, offset)
    return Claimed(data[1:], data[0] == 1)


_PARSERS: Final[Mapping[Code, Callable[[bytes, int], Value]]] = {
    Code.PING: _ping,
    Code.POSTCOPY_ADVISE: _advise,
    Code.POSTCOPY_RAM_DISCARD: _discard,
    Code.PACKAGED: _packaged,
    Code.RECV_BITMAP: _recv_bitmap,
    Code.STAGE3_CLAIM: _claimed,
}


def parse(number: int, data: bytes, offset: int = 0) -> Value:
    """The command `number` with its data; `offset`, its place in the stream, is for the `WireError`."""
    try:
        code = Code(number)
    except ValueError:
        what = f"command {number}, known are {min(Code)} to {Code.SWITCHOVER_START}"
        raise WireError(offset, what, _DAMAGED) from None
    if code not in BARE:
        return _PARSERS[code](data, offset)
    if data:
        raise _wrong(code, data, offset)
    return Bare(code)


def _encode_discard(block: str, ranges: tuple[tuple[int, int], ...]) -> bytes:
    if not 0 < len(ranges) <= DISCARD_RANGES:
        what = f"{len(ranges)} ranges in one discard of RAM block {block!r}"
        raise WireError(0, what, f"give 1 to {DISCARD_RANGES}")
    head = bytes((_DISCARD_VERSION,)) + wire.counted_name(block) + b"\0"
    for start, length in ranges:
        head += _PAIR.pack(
            wire.page_aligned(start, "discard start"), wire.page_aligned(length, "discard length")
        )
    return head


def encode(value: Value) -> bytes:
    """The COMMAND section of `value`; raises `WireError` for what the format cannot carry."""
    if isinstance(value, Bare):
        if value.code not in BARE:
            what = f"command {value.code.name} without its data"
            raise WireError(0, what, "give its own value")
        return wire.command(value.code)
    return _encode_data(value)


def _encode_data(
    value: Ping | PostcopyAdvise | RamDiscard | Packaged | RecvBitmap | Claimed,
) -> bytes:
    match value:
        case Ping(number):
            return wire.command(Code.PING, _U32.pack(wire.unsigned(number, 32, "ping")))
        case PostcopyAdvise(page_sizes, target_page):
            data = _PAIR.pack(
                wire.unsigned(page_sizes, 64, "page sizes"),
                wire.unsigned(target_page, 64, "target page"),
            )
            return wire.command(Code.POSTCOPY_ADVISE, data if page_sizes or target_page else b"")
        case RamDiscard(block, ranges):
            return wire.command(Code.POSTCOPY_RAM_DISCARD, _encode_discard(block, ranges))
        case Packaged(size):
            return wire.command(Code.PACKAGED, _U32.pack(wire.unsigned(size, 32, "package")))
        case RecvBitmap(block):
            return wire.command(Code.RECV_BITMAP, wire.counted_name(block))
        case Claimed(text, more):
            return wire.command(Code.STAGE3_CLAIM, bytes((more,)) + text)


def package(sections: bytes) -> bytes:
    """Sections (devices and their commands) as one package, which is received whole before it is read."""
    if len(sections) > wire.Limits().package:
        what = f"a package of {len(sections)} bytes"
        raise WireError(0, what, f"at most {wire.Limits().package} bytes")
    return encode(Packaged(len(sections))) + sections
