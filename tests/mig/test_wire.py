"""Records of the stream: what is encoded is decoded again, in any split of the bytes."""

from __future__ import annotations

import itertools
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mig import wire, wire_commands
from mig.wire_decode import Decoder
from mig.wire_events import (
    Command,
    Configuration,
    ConfigurationExtra,
    DeltaPage,
    DeviceSection,
    EndOfFile,
    Header,
    Package,
    Page,
    PageRun,
    RamSetup,
    SectionEnd,
    SectionPart,
    SectionStart,
    VmDescription,
    ZeroPage,
    ZeroRun,
    singly,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mig.wire_events import Event

PAGE = wire.PAGE_BYTES
BLOCKS = [("ram", 4 * PAGE), ("rom", 2 * PAGE)]
HEAD = wire.header() + wire.configuration("none")
SETUP = (
    wire.section_start(wire.SECTION_START, 2, "ram", 0, 4)
    + wire.ram_setup(6 * PAGE, BLOCKS)
    + wire.ram_eos()
    + wire.footer(2)
)
DESCRIPTION = (
    '{"page_size": 4096, "devices": [{"name": "vcpu", "instance_id": 1, "version": 3,'
    ' "fields": [{"name": "state", "type": "buffer", "size": 5}]}]}'
)
DEVICE = wire.section_start(wire.SECTION_FULL, 7, "vcpu", 1, 3) + b"hello" + wire.footer(7)
TAIL = wire.eof() + wire.vmdescription(DESCRIPTION)


def end(*records: bytes) -> bytes:
    """An END section of RAM with these records."""
    return b"".join(
        [wire.section_part(wire.SECTION_END, 2), *records, wire.ram_eos(), wire.footer(2)]
    )


STREAM = (
    HEAD
    + SETUP
    + end(
        wire.page_header(PAGE, "ram") + b"\x01" * PAGE,
        wire.zero_record(0, None),
        wire.xbzrle_record(PAGE, None, b"\x05\x01\x07"),
        wire.zero_record(PAGE, "rom"),
    )
    + DEVICE
    + TAIL
)
EVENTS: list[Event] = [
    Header(3),
    Configuration("none"),
    SectionStart(2, "ram", 0, 4),
    RamSetup(6 * PAGE, tuple(BLOCKS)),
    SectionEnd(wire.SECTION_START, 2),
    SectionPart(wire.SECTION_END, 2),
    Page("ram", PAGE, memoryview(b"\x01" * PAGE)),
    ZeroPage("ram", 0),
    DeltaPage("ram", PAGE, memoryview(b"\x05\x01\x07")),
    ZeroPage("rom", PAGE),
    SectionEnd(wire.SECTION_END, 2),
    DeviceSection(7, "vcpu", 1, 3, b"hello", own=False),
    EndOfFile(len(STREAM) - len(TAIL)),
    VmDescription(wire.vmdescription(DESCRIPTION)[5:]),
]


def own_size(name: str, instance: int, version: int) -> int | None:
    """A destination that knows the device of `STREAM`."""
    return {("vcpu", 1, 3): 5}.get((name, instance, version))


def decode(decoder: Decoder, parts: Iterable[bytes]) -> list[Event]:
    """Every event of a stream given in parts."""
    events: list[Event] = []
    for part in parts:
        decoder.feed(part)
        events.extend(decoder)
    decoder.finish()
    events.extend(decoder)
    return list(singly(events))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in pieces that end at `places`."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def refusal(data: bytes, limits: wire.Limits | None = None) -> wire.WireError:
    """The error that a stream ends with."""
    with pytest.raises(wire.WireError) as caught:
        decode(Decoder(own_size, limits), [data])
    return caught.value


def outcome(decoder: Decoder, data: bytes) -> int:
    """Offset of the `WireError`, else of the end; any other exception passes through."""
    try:
        decode(decoder, [data])
    except wire.WireError as error:
        return error.offset
    return decoder.offset


def test_whole_stream_comes_back() -> None:
    """A stream of every record decodes to the values it was made from."""
    assert decode(Decoder(), [STREAM]) == EVENTS


def test_one_byte_at_a_time() -> None:
    """Single bytes give the same events as the whole."""
    decoder = Decoder()
    assert decode(decoder, [STREAM[at : at + 1] for at in range(len(STREAM))]) == EVENTS
    assert decoder.offset == len(STREAM)


@given(st.lists(st.integers(0, 1 << 16), max_size=12))
def test_any_split(places: list[int]) -> None:
    """The split of the bytes does not change the events."""
    assert decode(Decoder(), cut(STREAM, places)) == EVENTS


WIDE = [("ram", 64 * PAGE)]


def wide(*records: bytes) -> bytes:
    """A stream of one block of 64 pages, up to the end of one section of these records."""
    start = wire.section_start(wire.SECTION_START, 2, "ram", 0, 4)
    setup = start + wire.ram_setup(64 * PAGE, WIDE) + wire.ram_eos() + wire.footer(2)
    return HEAD + setup + end(*records)


def test_equal_records_come_as_runs() -> None:
    """Zero pages in a row, then pages of any order, are gathered; the order stays."""
    zeros = [wire.zero_record(at * PAGE, None if at else "ram") for at in range(20)]
    order = [40, 23, 24, 25, 41, 22]
    pages = [wire.page_header(at * PAGE, None) + bytes((at,)) * PAGE for at in order]
    decoder = Decoder()
    decoder.feed(wide(*zeros, *pages))
    events = list(decoder)
    kinds = [type(event) for event in events[6:-1]]
    assert kinds == [ZeroPage, ZeroRun, Page, PageRun]
    expected: list[Event] = [ZeroPage("ram", at * PAGE) for at in range(20)]
    expected += [Page("ram", at * PAGE, memoryview(bytes((at,)) * PAGE)) for at in order]
    assert list(singly(events[6:-1])) == expected


@given(st.data())
def test_runs_do_not_change_what_comes(data: st.DataObject) -> None:
    """Mixed records in any split give the pages they were made from, one by one in order."""
    records: list[bytes] = []
    expected: list[Event] = []
    for kind, count in data.draw(st.lists(st.tuples(st.booleans(), st.integers(1, 9)), max_size=4)):
        for _ in range(count):
            offset = data.draw(st.integers(0, 63)) * PAGE
            name = None if records else "ram"
            if kind:
                records.append(wire.zero_record(offset, name))
                expected.append(ZeroPage("ram", offset))
            else:
                fill = bytes((len(records) + 1,)) * PAGE
                records.append(wire.page_header(offset, name) + fill)
                expected.append(Page("ram", offset, memoryview(fill)))
    stream = wide(*records) + wire.eof()
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=3))
    assert decode(Decoder(), cut(stream, places))[6:-2] == expected


@pytest.mark.parametrize("broken", range(1, 12))
def test_error_inside_a_run_is_placed(broken: int) -> None:
    """A page outside its block is refused at its record, however it was gathered."""
    records = [wire.zero_record(at * PAGE, None if at else "ram") for at in range(12)]
    before = len(wide(*records[:broken])) - len(wire.ram_eos() + wire.footer(2))
    records[broken] = wire.zero_record(64 * PAGE, None)
    error = refusal(wide(*records))
    assert "page at 0x40000 of RAM block 'ram'" in error.what
    assert error.offset == before + 8


def test_own_device_comes_at_once() -> None:
    """A device whose size is known is yielded before the stream's end."""
    decoder = Decoder(own_size)
    decoder.feed(STREAM[: -len(TAIL)])
    assert list(decoder)[-1] == DeviceSection(7, "vcpu", 1, 3, b"hello", own=True)


def test_foreign_device_waits_for_the_description() -> None:
    """A device of unknown size is kept until the description tells its size."""
    decoder = Decoder()
    decoder.feed(STREAM)
    assert not any(isinstance(event, DeviceSection) for event in decoder)
    decoder.finish()
    assert [event for event in decoder if isinstance(event, DeviceSection)] == EVENTS[11:12]


def test_consumer_may_pause() -> None:
    """Leaving the loop and iterating again loses no event."""
    decoder = Decoder()
    decoder.feed(STREAM)
    first = next(iter(decoder))
    decoder.finish()
    assert [first, *decoder] == EVENTS


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=63)
block_lists = st.dictionaries(names, st.integers(1, 1 << 20), min_size=1, max_size=8)


@settings(max_examples=25)
@given(block_lists, names, st.data())
def test_round_trip(lengths: dict[str, int], machine: str, data: st.DataObject) -> None:
    """Random blocks, names and page records survive encoding and decoding."""
    blocks = [(name, pages * PAGE) for name, pages in lengths.items()]
    body: list[bytes] = []
    expected: list[Event] = []
    current: str | None = None
    for _ in range(data.draw(st.integers(0, 6))):
        name, length = data.draw(st.sampled_from(blocks))
        offset = data.draw(st.integers(0, length // PAGE - 1)) * PAGE
        shown = None if name == current else name
        current = name
        if data.draw(st.booleans()):
            body.append(wire.zero_record(offset, shown))
            expected.append(ZeroPage(name, offset))
        else:
            delta = data.draw(st.binary(max_size=20))
            body.append(wire.xbzrle_record(offset, shown, delta))
            expected.append(DeltaPage(name, offset, memoryview(delta)))
    total = sum(length for _, length in blocks)
    start = wire.section_start(wire.SECTION_START, 9, "ram", 0, 4)
    setup = start + wire.ram_setup(total, blocks) + wire.ram_eos() + wire.footer(9)
    part = wire.section_part(wire.SECTION_PART, 9) + b"".join(body) + wire.ram_eos()
    stream = wire.header() + wire.configuration(machine) + setup + part + wire.footer(9)
    events = decode(Decoder(), [stream, wire.eof()])
    assert events[1] == Configuration(machine)
    assert events[3] == RamSetup(total, tuple(blocks))
    assert events[6:-2] == expected


@given(st.binary(max_size=200))
def test_random_bytes_are_refused(data: bytes) -> None:
    """Random bytes raise `WireError` and nothing else."""
    refusal(data)


@given(st.binary(max_size=200))
def test_random_bytes_after_the_header_are_refused(data: bytes) -> None:
    """Random bytes after a right beginning decode or raise `WireError`, nothing else."""
    stream = HEAD + SETUP + data
    offset = outcome(Decoder(own_size), stream)
    assert len(HEAD + SETUP) <= offset <= len(stream)


@given(
    st.lists(st.tuples(st.integers(0, len(STREAM) - 1), st.integers(0, 255)), max_size=3),
    st.integers(0, len(STREAM)),
    st.booleans(),
)
def test_damage_raises_only_wire_error(
    changes: list[tuple[int, int]], length: int, known: bool
) -> None:
    """A changed and shortened stream decodes or raises `WireError`, nothing else."""
    damaged = bytearray(STREAM)
    for at, value in changes:
        damaged[at] = value
    assert outcome(Decoder(own_size) if known else Decoder(), bytes(damaged[:length])) <= length


def test_every_truncation_is_noticed() -> None:
    """A stream cut before its end byte never passes."""
    whole = len(STREAM) - len(TAIL)
    for length in [*range(200), *range(whole - 60, whole + 1)]:
        assert refusal(STREAM[:length]).remedy


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"QEVX" + HEAD[4:], "0x51455658"),
        (struct.pack(">II", wire.MULTIFD_MAGIC, 1), "multifd"),
        (struct.pack(">II", wire.MAGIC, 2), "version 2"),
        (HEAD + b"\x55", "section type 0x55"),
        (HEAD + SETUP + SETUP, "starts twice"),
        (HEAD + wire.section_start(wire.SECTION_START, 1, "block", 0, 1), "'block'"),
        (HEAD + wire.section_start(wire.SECTION_START, 1, "ram", 0, 3), "version 3"),
        (HEAD + SETUP + wire.section_part(wire.SECTION_PART, 3), "section 3"),
        (HEAD + SETUP + end() + end(), "not open"),
        (HEAD + SETUP + end(wire.zero_record(0, None)), "None"),
        (HEAD + SETUP + end(wire.zero_record(0, "vga")), "'vga'"),
        (HEAD + SETUP + end(wire.zero_record(4 * PAGE, "ram")), "0x4000"),
        (HEAD + SETUP + end(wire.zero_record(0, "ram")[:-1] + b"\x07"), "0x07"),
        (HEAD + SETUP + end(struct.pack(">Q", wire.FLAG_MULTIFD_FLUSH)), "multifd"),
        (HEAD + SETUP + end(struct.pack(">Q", 0x100)), "compressed"),
        (HEAD + SETUP + end(struct.pack(">Q", 0x03)), "flags 0x3"),
        (HEAD + SETUP + end(wire.zero_record(0, "ram")) + b"\0\0", "0x00 after the end"),
        (HEAD + SETUP + end()[:-5] + wire.footer(3), "0x7e 3"),
        (HEAD + DEVICE + DEVICE, "comes twice"),
        (HEAD + wire.configuration("x" * 50)[:1] + b"\xff\xff\xff\xff", "4294967295"),
        (STREAM + b"x", "follow the end"),
    ],
)
def test_refusals_name_the_culprit(data: bytes, what: str) -> None:
    """Each kind of broken stream is refused with the value that is wrong."""
    error = refusal(data)
    assert what in error.what
    assert f"byte {error.offset}" in str(error)


def extra(name: str, content: bytes) -> bytes:
    """A subsection of the configuration."""
    return b"\x05" + wire.counted_name(name) + struct.pack(">I", 1) + content


CAPABILITIES = struct.pack(">I", 1) + wire.counted_name("postcopy-ram")


def test_configuration_subsections() -> None:
    """The subsections that later QEMUs send are passed on with their content."""
    parts = [
        ("configuration/target-page-bits", struct.pack(">I", 12)),
        ("configuration/capabilities", CAPABILITIES),
        ("configuration/uuid", bytes(range(16))),
    ]
    stream = HEAD + b"".join(extra(name, content) for name, content in parts) + STREAM[len(HEAD) :]
    events = decode(Decoder(), [stream])
    assert events[2:5] == [ConfigurationExtra(name, 1, content) for name, content in parts]
    assert events[5:11] == EVENTS[2:8]


@pytest.mark.parametrize(
    ("tail", "what"),
    [
        (extra("configuration/colour", b""), "unknown configuration subsection"),
        (extra("configuration/target-page-bits", struct.pack(">I", 16)), "pages of 2^16"),
        (extra("configuration/capabilities", struct.pack(">I", 1 << 20)), "1048576 capabilities"),
    ],
)
def test_configuration_subsections_are_checked(tail: bytes, what: str) -> None:
    """Unknown subsections, other page sizes and absurd counts are refused."""
    assert what in refusal(HEAD + tail + STREAM[len(HEAD) :]).what


def test_configuration_is_written_as_it_is_read() -> None:
    """The encoder's subsections are those that the decoder passes on."""
    uuid = bytes(range(16))
    made = wire.configuration("none", page_bits=12, capabilities=["postcopy-ram"], uuid=uuid)
    parts = [
        ("configuration/target-page-bits", struct.pack(">I", 12)),
        ("configuration/capabilities", CAPABILITIES),
        ("configuration/uuid", uuid),
    ]
    assert made == HEAD[8:] + b"".join(extra(name, content) for name, content in parts)
    with pytest.raises(wire.WireError, match="a UUID of 3 bytes"):
        wire.configuration("none", uuid=b"abc")


def test_addresses_of_blocks() -> None:
    """With x-ignore-shared every block's guest address comes with it."""
    configuration = wire.configuration("none", capabilities=["x-ignore-shared"])
    start = wire.section_start(wire.SECTION_START, 2, "ram", 0, 4)
    setup = start + wire.ram_setup(6 * PAGE, BLOCKS, [0, 1 << 32]) + wire.ram_eos() + wire.footer(2)
    events = decode(Decoder(), [wire.header() + configuration + setup + end() + TAIL])
    assert RamSetup(6 * PAGE, tuple(BLOCKS), (0, 1 << 32)) in events
    with pytest.raises(wire.WireError, match="1 addresses for 2 RAM blocks"):
        wire.ram_setup(6 * PAGE, BLOCKS, [0])


def test_package_comes_whole() -> None:
    """The sections of a package are one event after its command; an absurd one is refused."""
    stream = HEAD + wire_commands.package(DEVICE) + TAIL
    assert decode(Decoder(), [stream])[2:4] == [
        Command(7, struct.pack(">I", len(DEVICE))),
        Package(DEVICE),
    ]
    assert "a package of 0 bytes" in refusal(HEAD + wire_commands.package(b"")).what
    big = wire_commands.encode(wire_commands.Packaged(1 << 31))
    assert "a package of 2147483648 bytes" in refusal(HEAD + big).what


def test_commands_are_passed_on() -> None:
    """A command comes with its code and data."""
    decoder = Decoder()
    decoder.feed(HEAD + wire.command(2, b"ping"))
    assert list(decoder)[-1] == Command(2, b"ping")


def test_machine_without_text_name() -> None:
    """Names that are no UTF-8 are refused, showing the bytes."""
    assert "no UTF-8" in refusal(HEAD[:-4] + b"\xff\xff\xff\xff").what
    bad = wire.section_start(wire.SECTION_START, 2, "ram", 0, 4).replace(b"ram", b"r\xffm")
    assert "no UTF-8" in refusal(HEAD + bad).what


def test_announced_sizes_are_bounded() -> None:
    """Sizes beyond the limits are refused before anything of that size is kept."""
    small = wire.Limits(ram_bytes=PAGE)
    assert "expected its size" in refusal(HEAD + SETUP, small).what
    tiny_tail = wire.Limits(tail=3)
    with pytest.raises(wire.WireError, match="more than 3 bytes of device"):
        decode(Decoder(limits=tiny_tail), [HEAD + DEVICE + TAIL])
    assert "VM description of" in refusal(STREAM, wire.Limits(vmdescription=10)).what
    assert "RAM blocks" in refusal(HEAD + SETUP, wire.Limits(blocks=1)).what


def test_values_that_do_not_fit_are_refused() -> None:
    """The encoders refuse what the format cannot carry."""
    calls: list[Callable[[], bytes]] = [
        lambda: wire.configuration(""),
        lambda: wire.counted_name("x" * 256),
        lambda: wire.counted_name("a\0b"),
        lambda: wire.footer(1 << 32),
        lambda: wire.section_start(wire.SECTION_PART, 1, "ram", 0, 4),
        lambda: wire.section_part(wire.SECTION_FULL, 1),
        lambda: wire.zero_record(5, None),
        lambda: wire.ram_setup(PAGE, [("ram", 2 * PAGE)]),
        lambda: wire.xbzrle_record(0, None, bytes(PAGE + 1)),
        lambda: wire.vmdescription("{\0}"),
        lambda: wire.command(1, bytes(1 << 16)),
    ]
    for call in calls:
        with pytest.raises(wire.WireError):
            call()


def test_description_length_hides_no_brace() -> None:
    """The text is padded where its length would look like the text's first brace."""
    encoded = wire.vmdescription("{" + " " * (0x17B - 2) + "}")
    assert encoded[1:5] == struct.pack(">I", 0x17C)
    assert encoded.endswith(b"} ")
