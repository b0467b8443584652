"""Damage that chance would not find in a short run: a stream for each rule that needs a value of its own.

Promises: `all_of_them` is the same every time; each stream is for a base's destination. `apart` calls what no stream
leads to, for the decoder never asks it wrongly.
"""

from __future__ import annotations

import contextlib
import json
import struct
from typing import TYPE_CHECKING, Final

from bench.streams import layout
from bench.streams.bases import APIC, DESCRIPTION, PAGE, asked, everything
from mig import vmdesc, wire, wire_commands
from mig.wire_decode import Decoder
from mig.wire_return import ReturnDecoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bench.streams.bases import Base

_RANGE: Final = struct.pack(">QQ", 0, PAGE)
COMMANDS: Final = (
    (0, b""),
    (1, b"x"),
    (2, b"abc"),
    (3, b"abc"),
    (3, struct.pack(">QQ", 1 << 21, PAGE)),
    (6, b"\1\3ram\0" + _RANGE),
    (6, b"\0\3ram\0" + 13 * _RANGE),
    (6, b"\0\3ram\0" + struct.pack(">QQ", 1, PAGE)),
    (7, b"abc"),
    (7, bytes(4)),
    (7, b"\xff\xff\xff\xff"),
    (0x5333, b"\2"),
    (10, b"\3ramx"),
    (10, b"\1\xff"),
    (10, b"\2a\0"),
)
"""Commands with data that they cannot have."""


def _nested(depth: int) -> dict[str, object]:
    made: dict[str, object] = {"name": "f", "size": 1}
    for _ in range(depth):
        made = {"name": "f", "size": 1, "struct": {"fields": [made]}}
    return made


def _descriptions() -> Iterator[bytes]:
    """Descriptions that cannot be used, each for a reason of its own."""
    device = APIC
    huge = {"name": "f", "size": vmdesc.MAX_BODY}
    changes: list[dict[str, object]] = [
        {"fields": [_nested(vmdesc.MAX_DEPTH + 2)]},
        {"fields": [huge, huge]},
        {"fields": 1},
        {"fields": [1]},
        {"fields": [{"size": "x"}]},
        {"name": 1},
        {"fields": [{"name": "f", "size": 2, "struct": {"fields": [huge]}}]},
        {"fields": [{"size": 0}] * (vmdesc.MAX_FIELDS + 1)},
    ]
    for change in changes:
        yield json.dumps({**DESCRIPTION, "devices": [{**device, **change}]}).encode()
    yield json.dumps({**DESCRIPTION, "devices": [{}] * (vmdesc.MAX_DEVICES + 1)}).encode()
    yield b"{nothing"
    yield b'{"devices": [' + b"[]," * (vmdesc.MAX_VALUES + 1) + b"0]}"


def all_of_them() -> list[tuple[Base, bytes]]:
    """Base and stream."""
    base = everything()
    stream = base.stream
    spans = layout.spans(stream)
    first, setup_end = spans[0][1], spans[0][2]
    made: list[bytes] = [
        struct.pack(">II", wire.MULTIFD_MAGIC, 1) + stream[8:],
        *(
            stream[: spans[-1][1]] + b"\6" + len(text).to_bytes(4, "big") + text
            for text in _descriptions()
        ),
        *(
            stream[:first] + wire.command(number, data) + stream[first:]
            for number, data in COMMANDS
        ),
    ]
    names = [(str(number), PAGE) for number in range(wire.Limits().blocks + 1)]
    start = wire.section_start(wire.SECTION_START, 2, "ram", 0, wire.RAM_VERSION)
    made.append(stream[:first] + start + wire.ram_setup(len(names) * PAGE, names))
    made += [
        stream[:setup_end]
        + wire.section_part(wire.SECTION_PART, 2)
        + wire.zero_record(0, "ram")
        + wire.xbzrle_record(0, None, delta)
        for delta in (
            b"\x80",
            b"\x80\x80",
            b"",
            b"\1",
            b"\0\1a\0\1a",
            b"\0\0",
            b"\x7f\1",
            b"\xff\x1f\2ab",
        )
    ]
    shared = wire.header() + wire.configuration("none", capabilities=[wire.IGNORE_SHARED])
    made.append(shared + start + wire.ram_setup(26 * PAGE, base.blocks, [0, 1 << 32]))
    device = stream.index(b"apic/sipi")
    made.append(stream[:device] + b"A" + stream[device + 1 :])
    section = spans[-3][1]
    made.append(stream[:setup_end] + stream[first:])
    made.append(stream[:section] + b"\0\6\xff\xff\xff\xff")
    made.append(stream[: section + 30] + bytes(300_000))
    waiting = asked()
    end = waiting.stream.rindex(wire.eof() + b"\6") + 1
    unusable = b'{"devices": 1}'
    late = waiting.stream[:end] + b"\6" + len(unusable).to_bytes(4, "big") + unusable
    return [(waiting, waiting.stream), (waiting, late), *((base, mutant) for mutant in made)]


def apart() -> None:
    """What is only called rightly by the decoders."""
    device = vmdesc.parse(json.dumps(DESCRIPTION).encode()).devices[0]
    with contextlib.suppress(vmdesc.DescriptionError):
        device.check(b"")
    decoder = Decoder()
    decoder.feed(b"")
    decoder.feed(everything().stream)
    decoder.finish()
    list(decoder)
    answers = ReturnDecoder()
    answers.feed(wire_commands.encode(wire_commands.Ping(1)))
    with contextlib.suppress(wire.WireError):
        list(answers)
    if answers.offset:
        raise RuntimeError("internal error in stage3: a command is no answer")
