"""Whole streams to be damaged: own ones of every kind of record, and QEMU's made small.

Promises: each is accepted undamaged by a destination of `machine`, its name and RAM blocks.
Assumes: the samples beside the tests.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import pathlib
import tempfile
from typing import TYPE_CHECKING, Final, NamedTuple

from bench.streams import layout
from mig import checks, transport, wire, wire_commands, xbzrle
from mig.machine import Machine
from mig.return_path import ReturnPath
from mig.vcpu.soft import PageIncrement

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE: Final = wire.PAGE_BYTES
_ROOT: Final = pathlib.Path(__file__).parents[2]
SAMPLES: Final = tuple(
    path
    for folder in ("tests/data", "stress/data")
    for path in sorted((_ROOT / folder).glob("*.mig.gz"))
)
KEPT: Final = 3
"""Page records that a sample made small keeps of each section."""
WAIT: Final = 30.0


class Base(NamedTuple):
    """A stream, and what its destination has to be."""

    name: str
    stream: bytes
    machine: str
    blocks: tuple[tuple[str, int], ...]
    vcpus: int = 0

    def destination(self) -> Machine:
        """A machine that takes the stream."""
        programs = [_program] * self.vcpus
        return Machine("destination", self.blocks, programs, name=self.machine)


def _program(machine: Machine, number: int) -> PageIncrement:
    return PageIncrement(machine.log, machine.ram.blocks()[0], slot=number, writes=0)


OWN_BLOCKS: Final = (("ram", 40 * PAGE), ("rom", 8 * PAGE))


def own_machine() -> Machine:
    """The guest of `own`: two blocks, two vCPUs that do nothing, pages of both kinds."""
    machine = Machine("source", OWN_BLOCKS, [_program, _program])
    for at in range(0, 40, 3):
        machine.ram.find("ram").view[at * PAGE : at * PAGE + 5] = b"page" + bytes((at,))
    machine.ram.find("rom").view[:4] = b"boot"
    return machine


def own() -> Base:
    """What this engine sends, from its own source."""
    with tempfile.TemporaryDirectory(prefix="stage3-") as directory:
        path = pathlib.Path(directory, "stream")
        with contextlib.closing(own_machine()) as machine:
            machine.start()
            migration = machine.migrate(transport.connect(f"file:{path}"))
            if not migration.join(WAIT) or migration.error is not None:
                raise RuntimeError(f"internal error in stage3: {migration.error}")
        return Base("own", path.read_bytes(), "none", OWN_BLOCKS, 2)


def _ram(kind: wire.Section, *records: bytes) -> bytes:
    head = wire.section_part(kind, 2)
    return b"".join([head, *records, wire.ram_eos(), wire.footer(2)])


def _page(at: int, fill: int, name: str | None = None) -> bytes:
    return wire.page_header(at * PAGE, name) + bytes((fill,)) * PAGE


def _device(name: str, instance: int, version: int, body: bytes, section: int) -> bytes:
    head = wire.section_start(wire.SECTION_FULL, section, name, instance, version)
    return head + body + wire.footer(section)


APIC: Final[dict[str, object]] = {
    "name": "apic",
    "instance_id": 0,
    "version": 3,
    "fields": [
        {"name": "id", "type": "uint8", "size": 1},
        {"name": "regs", "type": "uint32", "array_len": 4, "size": 4},
        {
            "name": "timer",
            "type": "struct",
            "size": 8,
            "struct": {"fields": [{"name": "when", "type": "int64", "size": 8}]},
        },
    ],
    "subsections": [
        {
            "vmsd_name": "apic/sipi",
            "version": 1,
            "fields": [{"name": "s", "type": "bool", "size": 1}],
        }
    ],
}
DESCRIPTION: Final[dict[str, object]] = {"page_size": PAGE, "devices": [APIC]}


def everything() -> Base:
    """Every record, command and subsection that the format has, by hand."""
    blocks = (("ram", 24 * PAGE), ("rom", 2 * PAGE))
    old, new = bytes(PAGE), b"\0" * 9 + b"delta" + bytes(PAGE - 14)
    delta = encoded(old, new)
    start = wire.section_start(wire.SECTION_START, 2, "ram", 0, wire.RAM_VERSION)
    zeros = [wire.zero_record(at * PAGE, None) for at in range(1, 16)]
    pages = [_page(at, at) for at in range(16, 24)]
    body = bytes(25) + wire.subsection("apic/sipi", 1, b"\1")
    parts = [
        wire.header(),
        wire.configuration("none", page_bits=12, capabilities=["events"], uuid=bytes(16)),
        start + wire.ram_setup(26 * PAGE, blocks) + wire.ram_eos() + wire.footer(2),
        _ram(wire.SECTION_PART, wire.zero_record(0, "ram"), *zeros, *pages),
        _ram(wire.SECTION_PART),
        _ram(
            wire.SECTION_END,
            wire.xbzrle_record(5 * PAGE, None, delta),
            wire.zero_record(17 * PAGE, None),
            _page(0, 7, "rom"),
            wire.zero_record(PAGE, None),
        ),
        _device("apic", 0, 3, body, 7),
        wire.eof(),
        wire.vmdescription(json.dumps(DESCRIPTION)),
    ]
    return Base("everything", b"".join(parts), "none", blocks)


def commanded() -> Base:
    """Commands of every kind in front: decoded, and refused by a destination that does not know them."""
    values: list[wire_commands.Value] = [
        wire_commands.Bare(wire_commands.Code.OPEN_RETURN_PATH),
        wire_commands.Ping(1),
        wire_commands.PostcopyAdvise(PAGE, PAGE),
        wire_commands.PostcopyAdvise(0, 0),
        wire_commands.RamDiscard("ram", ((0, PAGE), (2 * PAGE, PAGE))),
        wire_commands.RecvBitmap("ram"),
        wire_commands.Claimed(b"{", more=True),
    ]
    whole = everything()
    first = layout.spans(whole.stream)[0][1]
    commands = b"".join(map(wire_commands.encode, values)) + wire_commands.package(b"sections")
    stream = whole.stream[:first] + commands + whole.stream[first:]
    return Base("commanded", stream, whole.machine, whole.blocks)


def asked() -> Base:
    """`everything`, and its source waits for an answer: the stream ends where the description does."""
    whole = everything()
    first = layout.spans(whole.stream)[0][1]
    greeting = b"".join(ReturnPath.greeting()[:2])
    stream = whole.stream[:first] + greeting + whole.stream[first:]
    return whole._replace(name="asked", stream=stream)


def claiming() -> Base:
    """`own`, to a destination that answers and is a stage3: what was sent is claimed before the devices."""
    whole = own()
    spans = layout.spans(whole.stream)
    first = spans[0][1]
    [devices] = [at for kind, at, _ in spans if kind == wire.SECTION_FULL][:1]
    end = whole.stream.rindex(wire.eof() + bytes((wire.SECTION_VMDESCRIPTION,)))
    claim = checks.in_description(whole.stream[end + 6 :])
    if claim is None:
        raise RuntimeError("internal error in stage3: an own stream claims nothing")
    text = claim.text()
    parts = [text[:30], text[30:]]
    stream = b"".join(
        [
            whole.stream[:first],
            *ReturnPath.greeting(),
            whole.stream[first:devices],
            *(
                wire_commands.encode(wire_commands.Claimed(part, part is parts[0]))
                for part in parts
            ),
            whole.stream[devices:end],
            ReturnPath.question(),
            whole.stream[end:],
        ]
    )
    return whole._replace(name="claiming", stream=stream)


def encoded(old: bytes, new: bytes) -> bytes:
    """The delta from one page to another, one run."""
    first = next(at for at in range(PAGE) if old[at] != new[at])
    last = next(at for at in reversed(range(PAGE)) if old[at] != new[at])
    fresh = new[first : last + 1]
    made = bytes((first, len(fresh))) + fresh
    page = bytearray(old)
    xbzrle.decode(made, memoryview(page))
    if page != new:
        raise RuntimeError("internal error in stage3: a delta that does not make the page")
    return made


def shortened(path: pathlib.Path) -> Base:
    """QEMU's stream with `KEPT` page records of each section, and the blocks as long as these reach.

    The pages that are left out are missing: a destination refuses it in the end.
    """
    facts = json.loads(path.with_name(path.name.replace(".mig.gz", ".json")).read_text())
    stream = gzip.decompress(path.read_bytes())
    parts: list[bytes] = []
    for kind, begin, end in layout.spans(stream):
        if not parts:
            parts.append(stream[:begin])
        parts.append(_fewer(stream, begin, end) if kind in {2, 3} else stream[begin:end])
    return Base(path.name, b"".join(parts), facts["machine"], tuple(facts["blocks"].items()))


def _fewer(stream: bytes, begin: int, end: int) -> bytes:
    """One PART or END section with its first page records."""
    at = begin + 5
    for _ in range(KEPT):
        word = int.from_bytes(stream[at : at + 8], "big")
        if word == wire.FLAG_EOS:
            return stream[begin:end]
        at += 8
        if not word & wire.FLAG_CONTINUE:
            at += 1 + stream[at]
        if word & wire.FLAG_ZERO:
            at += 1
        elif word & wire.FLAG_PAGE:
            at += PAGE
        else:
            at += 3 + int.from_bytes(stream[at + 1 : at + 3], "big")
    return stream[begin:at] + wire.ram_eos() + stream[end - 5 : end]


def all_of_them() -> list[Base]:
    """Every base."""
    makers: list[Callable[[], Base]] = [own, everything, commanded, asked, claiming]
    return [*(make() for make in makers), *(shortened(path) for path in SAMPLES)]
