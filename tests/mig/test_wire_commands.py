"""Commands and the return path: what is encoded is decoded again; what is wrong is refused."""

from __future__ import annotations

import contextlib
import itertools
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mig import wire, wire_commands, wire_return
from mig.wire_commands import (
    BARE,
    Bare,
    Claimed,
    Code,
    Packaged,
    Ping,
    PostcopyAdvise,
    RamDiscard,
    RecvBitmap,
)
from mig.wire_decode import Decoder
from mig.wire_events import Command
from mig.wire_return import (
    Pong,
    ReceivedBitmap,
    RequestPages,
    ResumeAck,
    ReturnDecoder,
    Shut,
    SwitchoverAck,
)

if TYPE_CHECKING:
    from mig.wire_commands import Value
    from mig.wire_return import Message

PAGE = wire.PAGE_BYTES
HEAD = wire.header() + wire.configuration("none")
names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=60)
u32 = st.integers(0, (1 << 32) - 1)
u64 = st.integers(0, (1 << 64) - 1)
pages = st.integers(0, 1 << 40).map(lambda page: page * PAGE)
ranges = st.tuples(pages, pages.filter(bool))
commands: st.SearchStrategy[Value] = st.one_of(
    st.sampled_from(sorted(BARE)).map(Bare),
    st.builds(Ping, u32),
    st.sampled_from([PostcopyAdvise(0, 0), PostcopyAdvise(PAGE, PAGE)]),
    st.builds(RamDiscard, names, st.lists(ranges, min_size=1, max_size=12).map(tuple)),
    st.builds(RecvBitmap, names),
    st.builds(Claimed, st.binary(max_size=99), st.booleans()),
)
BLOCKS = {"ram": 65 * PAGE, "rom": PAGE}
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Shut, u32),
    st.builds(Pong, u32),
    st.builds(RequestPages, u64, u32, st.none() | names),
    st.builds(ReceivedBitmap, st.just("ram"), st.binary(min_size=16, max_size=16)),
    st.builds(ReceivedBitmap, st.just("rom"), st.binary(min_size=8, max_size=8)),
    st.just(ResumeAck(1)),
    st.just(SwitchoverAck()),
)


@given(st.lists(commands, max_size=6))
def test_commands_come_back(values: list[Value]) -> None:
    """Every command survives encoding, the stream decoder and parsing."""
    decoder = Decoder()
    decoder.feed(HEAD + b"".join(map(wire_commands.encode, values)))
    events = [event for event in decoder if isinstance(event, Command)]
    assert [wire_commands.parse(event.code, event.data) for event in events] == values


def test_ping_as_qemu_writes_it() -> None:
    """PING 1 and its answer are the bytes that a real QEMU sends."""
    assert wire_commands.encode(Ping(1)) == bytes.fromhex("08 0002 0004 00000001")
    assert wire_return.encode(Pong(1)) == bytes.fromhex("0002 0004 00000001")
    assert wire_commands.encode(Packaged(5)) + b"abcde" == wire_commands.package(b"abcde")


RANGE = struct.pack(">QQ", 0, PAGE)


@pytest.mark.parametrize(
    ("number", "data", "what"),
    [
        (0, b"", "command 0, known are 1 to 11"),
        (12, b"", "command 12"),
        (1, b"x", "command OPEN_RETURN_PATH with 1 bytes"),
        (2, b"abc", "command PING with 3 bytes"),
        (3, b"abc", "command POSTCOPY_ADVISE with 3 bytes"),
        (3, struct.pack(">QQ", 1 << 21, PAGE), "pages of 0x200000 and 0x1000"),
        (6, b"\x01\x03ram\0" + RANGE, "POSTCOPY_RAM_DISCARD"),
        (6, b"\0\x03ram\x01" + RANGE, "POSTCOPY_RAM_DISCARD"),
        (6, b"\0\x03ram\0" + RANGE[:-1], "POSTCOPY_RAM_DISCARD"),
        (6, b"\0\x03ram\0", "POSTCOPY_RAM_DISCARD"),
        (6, b"\0\x03ram\0" + 13 * RANGE, "POSTCOPY_RAM_DISCARD"),
        (6, b"\0\x03ram\0" + struct.pack(">QQ", 1, PAGE), "discard of 0x1000 bytes at 0x1"),
        (6, b"\0\x03ram\0" + struct.pack(">QQ", 0, 0), "discard of 0x0 bytes"),
        (7, b"abc", "command PACKAGED with 3 bytes"),
        (10, b"", "command RECV_BITMAP with 0 bytes"),
        (10, b"\x03ra", "command RECV_BITMAP"),
        (10, b"\x02\xff\xff", "command RECV_BITMAP"),
        (10, b"\x02a\0", "command RECV_BITMAP"),
        (10, b"\x01ab", "command RECV_BITMAP"),
    ],
)
def test_wrong_commands_are_refused(number: int, data: bytes, what: str) -> None:
    """Unknown numbers, wrong lengths and values out of bounds are refused, in the stream as well."""
    with pytest.raises(wire.WireError) as caught:
        wire_commands.parse(number, data, 9)
    assert what in caught.value.what
    assert caught.value.offset == 9
    decoder = Decoder()
    decoder.feed(HEAD + wire.command(number, data))
    with pytest.raises(wire.WireError):
        list(decoder)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (Bare(Code.PING), "PING without its data"),
        (Ping(1 << 32), "does not fit into 32 bits"),
        (RamDiscard("ram", ()), "0 ranges"),
        (RamDiscard("ram", ((1, PAGE),)), "discard start 0x1"),
        (RecvBitmap(""), "name ''"),
    ],
)
def test_impossible_commands_are_not_made(value: Value, what: str) -> None:
    """What the format cannot carry is refused before a byte is made."""
    with pytest.raises(wire.WireError, match=what):
        wire_commands.encode(value)


def test_package_is_bounded() -> None:
    """More than the receiver takes is refused at the sender."""
    with pytest.raises(wire.WireError, match="a package of"):
        wire_commands.package(bytes(wire.Limits().package + 1))


@given(st.lists(messages, max_size=6), st.lists(st.integers(0, 400), max_size=4))
def test_messages_come_back(values: list[Message], places: list[int]) -> None:
    """Every message survives encoding and decoding, however the bytes are split."""
    data = b"".join(map(wire_return.encode, values))
    edges = [0, *sorted(min(place, len(data)) for place in places), len(data)]
    decoder = ReturnDecoder(BLOCKS)
    found: list[Message] = []
    for start, stop in itertools.pairwise(edges):
        decoder.feed(data[start:stop])
        found += decoder
    decoder.finish()
    assert [*found, *decoder] == values
    assert decoder.offset == len(data)


@given(st.binary(max_size=80))
def test_any_return_path_bytes(data: bytes) -> None:
    """Whatever comes back decodes or raises `WireError`, nothing else."""
    decoder = ReturnDecoder(BLOCKS)
    decoder.feed(data)
    decoder.finish()
    with contextlib.suppress(wire.WireError):
        list(decoder)
    assert decoder.offset <= len(data)


BITMAP = wire_return.encode(ReceivedBitmap("rom", bytes(8)))


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (bytes(4), "message of type 0"),
        (b"\0\x08\0\0", "message of type 8"),
        (b"\0\x02\0\x05", "PONG of 5 bytes"),
        (b"\0\x03\0\x0c", "REQ_PAGES_ID of 12 bytes"),
        (b"\0\x05\xff\xff", "RECV_BITMAP of 65535 bytes"),
        (b"\0\x06\0\x04" + bytes(4), "RESUME_ACK with 0"),
        (b"\0\x05\0\x04\x02rom", "announced with 2"),
        (b"\0\x05\0\x02\x01\xff", "no UTF-8"),
        (b"\0\x05\0\x04\x03vga" + bytes(8), "a bitmap of 0 bytes for RAM block 'vga'"),
        (BITMAP[:8] + b"\xff" + BITMAP[9:], "a bitmap of"),
        (BITMAP[:-1] + b"\0", "ends with 0x123456789abcd00"),
        (BITMAP[:-1], "inside a message"),
        (b"\0\x02\0\x04\0", "inside a message"),
        (BITMAP[:10], "inside a message"),
    ],
)
def test_wrong_messages_are_refused(data: bytes, what: str) -> None:
    """Unknown, wrongly sized and cut messages are refused, at their place."""
    decoder = ReturnDecoder(BLOCKS)
    decoder.feed(wire_return.encode(Pong(7)) + data)
    found = iter(decoder)
    assert next(found) == Pong(7)
    decoder.finish()
    with pytest.raises(wire.WireError) as caught:
        list(found)
    assert what in caught.value.what
    assert caught.value.offset == 8


def test_odd_bitmap_is_not_made() -> None:
    """A bitmap is whole words."""
    with pytest.raises(wire.WireError, match="a bitmap of 3 bytes"):
        wire_return.encode(ReceivedBitmap("rom", bytes(3)))
    assert wire_return.bitmap_bytes(65 * PAGE) == 16
