"""QEMU's migration stream as values and bytes: constants, errors, records and their encoders.

Promises: every function is a pure mapping from values to bytes (no I/O, no clock, no state); what
it returns is accepted by QEMU 7.2 and read back unchanged by `mig.wire_decode`. A value that the
format cannot carry is refused with `WireError` before a byte is made.
Assumes: 4 KiB target pages; integers are big-endian.
Does not: decide what is sent when (`mig.savevm`, `mig.ram_save`), nor read a stream.

Source: QEMU migration/savevm.c, migration/ram.c and docs/devel/migration.rst (format version 3).
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

MAGIC: Final = 0x5145564D
"""First four bytes of every stream: "QEVM"."""
VERSION: Final = 3
"""The only stream version in use since QEMU 0.13; 2 is obsolete and refused."""
MULTIFD_MAGIC: Final = 0x11223344
"""First four bytes of an additional multifd channel, which is no stream of its own."""
PAGE_BITS: Final = 12
PAGE_BYTES: Final = 1 << PAGE_BITS
"""Target page size in bytes."""
CONFIGURATION_PAGE_BITS: Final = "configuration/target-page-bits"
CONFIGURATION_CAPABILITIES: Final = "configuration/capabilities"
CONFIGURATION_UUID: Final = "configuration/uuid"
"""The subsections that a configuration may have."""
IGNORE_SHARED: Final = "x-ignore-shared"
"""The one capability that is listed in a configuration: the guest address of each block is sent."""
UUID_BYTES: Final = 16
RAM_NAME: Final = "ram"
RAM_VERSION: Final = 4
"""Name and version of the RAM section."""
NAME_MAX: Final = 255
"""Longest name in bytes that a one-byte length can announce."""


class Section(enum.IntEnum):
    """The byte in front of each part of a stream."""

    EOF = 0x00
    START = 0x01
    PART = 0x02
    END = 0x03
    FULL = 0x04
    SUBSECTION = 0x05
    VMDESCRIPTION = 0x06
    CONFIGURATION = 0x07
    COMMAND = 0x08
    FOOTER = 0x7E


class RamFlag(enum.IntFlag):
    """Low twelve bits of the word in front of each RAM record (`RAM_SAVE_FLAG_*`)."""

    FULL = 0x01
    ZERO = 0x02
    MEM_SIZE = 0x04
    PAGE = 0x08
    EOS = 0x10
    CONTINUE = 0x20
    XBZRLE = 0x40
    HOOK = 0x80
    COMPRESS_PAGE = 0x100
    MULTIFD_FLUSH = 0x200


SECTION_EOF: Final = Section.EOF
SECTION_START: Final = Section.START
SECTION_PART: Final = Section.PART
SECTION_END: Final = Section.END
SECTION_FULL: Final = Section.FULL
SECTION_SUBSECTION: Final = Section.SUBSECTION
SECTION_VMDESCRIPTION: Final = Section.VMDESCRIPTION
SECTION_CONFIGURATION: Final = Section.CONFIGURATION
SECTION_COMMAND: Final = Section.COMMAND
SECTION_FOOTER: Final = Section.FOOTER
FLAG_ZERO: Final = 0x02
FLAG_MEM_SIZE: Final = 0x04
FLAG_PAGE: Final = 0x08
FLAG_EOS: Final = 0x10
FLAG_CONTINUE: Final = 0x20
FLAG_XBZRLE: Final = 0x40
FLAG_MULTIFD_FLUSH: Final = 0x200
FLAG_MASK: Final = PAGE_BYTES - 1


class WireError(Exception):
    """A stream, or a value meant for one, that breaks the format.

    `offset` is the byte position in the stream (0 for a value that was never written), `what` says
    what is wrong and shows the value, `remedy` says what to do next.
    """

    def __init__(self, offset: int, what: str, remedy: str) -> None:
        super().__init__(f"migration stream, byte {offset}: {what}; {remedy}")
        self.offset = offset
        self.what = what
        self.remedy = remedy


class Limits(NamedTuple):
    """Upper bounds that keep a hostile or damaged stream from costing more than it is worth."""

    ram_bytes: int = 1 << 44
    """Sum of the lengths of all RAM blocks."""
    blocks: int = 4096
    machine_name: int = 1024
    """Bytes of the machine name in the configuration."""
    capabilities: int = 256
    device_body: int = 16 << 20
    """Bytes of one device section."""
    tail: int = 16 << 20
    """Bytes kept when device sections are only delimited by the VM description at the end."""
    vmdescription: int = 4 << 20
    package: int = 8 << 20
    """Bytes of sections sent as one package."""


_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_HEADER = struct.Struct(">II")
_PART = struct.Struct(">BI")
_IDS = struct.Struct(">II")
_DELTA = struct.Struct(">BH")
_COMMAND = struct.Struct(">BHH")


def unsigned(value: int, bits: int, what: str) -> int:
    """`value` if it is a number of at most `bits` bits, else `WireError`."""
    if not 0 <= value < 1 << bits:
        raise WireError(0, f"{what} {value} does not fit into {bits} bits", "give a smaller value")
    return value


def counted_name(name: str) -> bytes:
    """One-byte length and the name in UTF-8; at most 255 bytes, no NUL."""
    raw = name.encode()
    if not 0 < len(raw) <= NAME_MAX or 0 in raw:
        raise WireError(
            0, f"name {name!r} of {len(raw)} bytes", f"use 1 to {NAME_MAX} bytes and no NUL"
        )
    return bytes((len(raw),)) + raw


def header() -> bytes:
    """Magic and version: the first eight bytes."""
    return _HEADER.pack(MAGIC, VERSION)


def configuration(
    machine_name: str,
    *,
    page_bits: int | None = None,
    capabilities: Sequence[str] = (),
    uuid: bytes | None = None,
) -> bytes:
    """The configuration with the machine's name, which the destination compares with its own.

    As subsections, each only when given: `page_bits` (log2 of the target page in bytes), the
    `capabilities` that both sides must have, and the guest's `uuid` of 16 bytes.
    """
    raw = machine_name.encode()
    if not 0 < len(raw) <= Limits().machine_name or 0 in raw:
        raise WireError(
            0,
            f"machine name {machine_name!r} of {len(raw)} bytes",
            f"use 1 to {Limits().machine_name} bytes and no NUL",
        )
    parts = [bytes((SECTION_CONFIGURATION,)), _U32.pack(len(raw)), raw]
    if page_bits is not None:
        parts.append(
            subsection(CONFIGURATION_PAGE_BITS, 1, _U32.pack(unsigned(page_bits, 32, "page bits")))
        )
    if capabilities:
        names = _U32.pack(len(capabilities)) + b"".join(map(counted_name, capabilities))
        parts.append(subsection(CONFIGURATION_CAPABILITIES, 1, names))
    if uuid is not None:
        if len(uuid) != UUID_BYTES:
            raise WireError(0, f"a UUID of {len(uuid)} bytes", f"give {UUID_BYTES}")
        parts.append(subsection(CONFIGURATION_UUID, 1, uuid))
    return b"".join(parts)


def subsection(name: str, version: int, fields: bytes) -> bytes:
    """A subsection (of the configuration, or after a device's own fields): "parent/name" and its fields."""
    head = bytes((SECTION_SUBSECTION,)) + counted_name(name)
    return head + _U32.pack(unsigned(version, 32, "subsection version")) + fields


def section_start(kind: Section, section_id: int, name: str, instance: int, version: int) -> bytes:
    """Head of a START or FULL section; its body and `footer` follow."""
    if kind not in {SECTION_START, SECTION_FULL}:
        raise WireError(0, f"section type {kind!r} has no name", "use SECTION_START or _FULL")
    return (
        _PART.pack(kind, unsigned(section_id, 32, "section id"))
        + counted_name(name)
        + _IDS.pack(unsigned(instance, 32, "instance"), unsigned(version, 32, "version"))
    )


def section_part(kind: Section, section_id: int) -> bytes:
    """Head of a PART or END section; its body and `footer` follow."""
    if kind not in {SECTION_PART, SECTION_END}:
        raise WireError(0, f"section type {kind!r} needs a name", "use SECTION_PART or _END")
    return _PART.pack(kind, unsigned(section_id, 32, "section id"))


def footer(section_id: int) -> bytes:
    """End mark of every section body."""
    return _PART.pack(SECTION_FOOTER, unsigned(section_id, 32, "section id"))


def eof() -> bytes:
    """The byte after the last section."""
    return b"\0"


def vmdescription(json_text: str) -> bytes:
    """The description of the device sections, sent after `eof`.

    The text is padded with a blank where its length would contain the byte 0x7b: QEMU's
    analyze-migration script finds the text by its first brace.
    """
    raw = json_text.encode()
    if len(raw) > Limits().vmdescription or 0 in raw:
        raise WireError(
            0,
            f"VM description of {len(raw)} bytes",
            f"at most {Limits().vmdescription} bytes and no NUL",
        )
    while b"{" in _U32.pack(len(raw)):
        raw += b" "
    return bytes((SECTION_VMDESCRIPTION,)) + _U32.pack(len(raw)) + raw


def command(code: int, data: bytes = b"") -> bytes:
    """A command (`MIG_CMD_*`) with its data of at most 65535 bytes."""
    return (
        _COMMAND.pack(
            SECTION_COMMAND,
            unsigned(code, 16, "command"),
            unsigned(len(data), 16, "command length"),
        )
        + data
    )


def page_aligned(value: int, what: str) -> int:
    """`value` if it is a page-aligned 64-bit number, else `WireError`."""
    if value & FLAG_MASK:
        raise WireError(
            0, f"{what} {value:#x} is not a multiple of {PAGE_BYTES}", "align it to a page"
        )
    return unsigned(value, 64, what)


def ram_setup(
    total_bytes: int, blocks: Sequence[tuple[str, int]], addresses: Sequence[int] = ()
) -> bytes:
    """The MEM_SIZE record: total length of RAM, then name and length of each block, in bytes.

    `addresses` (guest addresses of the blocks) belong to capability x-ignore-shared. `ram_eos` closes
    the section body after it.
    """
    if addresses and len(addresses) != len(blocks):
        what = f"{len(addresses)} addresses for {len(blocks)} RAM blocks"
        raise WireError(0, what, "give one for each block, or none")
    if sum(length for _, length in blocks) != total_bytes:
        raise WireError(
            0,
            f"block lengths {[length for _, length in blocks]} do not add up to {total_bytes}",
            "take both from the same version of the block list",
        )
    words = [_U64.pack(page_aligned(total_bytes, "RAM size") | FLAG_MEM_SIZE)]
    for at, (name, length) in enumerate(blocks):
        words.append(counted_name(name) + _U64.pack(page_aligned(length, f"length of {name!r}")))
        if addresses:
            words.append(_U64.pack(unsigned(addresses[at], 64, f"address of {name!r}")))
    return b"".join(words)


def ram_eos() -> bytes:
    """The word that ends the body of a RAM section."""
    return _U64.pack(FLAG_EOS)


def _page_word(offset: int, flags: int, block_name: str | None) -> bytes:
    word = page_aligned(offset, "page offset") | flags
    if block_name is None:
        return _U64.pack(word | FLAG_CONTINUE)
    return _U64.pack(word) + counted_name(block_name)


def zero_record(offset: int, block_name: str | None) -> bytes:
    """A page of zeros at byte `offset` of a block; `block_name` None: that of the record before."""
    return _page_word(offset, FLAG_ZERO, block_name) + b"\0"


def page_header(offset: int, block_name: str | None) -> bytes:
    """Head of a page whose 4096 bytes follow; `block_name` as in `zero_record`."""
    return _page_word(offset, FLAG_PAGE, block_name)


def xbzrle_word(offset: int, block_name: str | None) -> bytes:
    """The word, and name, in front of a delta's encoding and length; `block_name` as in `zero_record`."""
    return _page_word(offset, FLAG_XBZRLE, block_name)


def xbzrle_record(offset: int, block_name: str | None, delta: bytes) -> bytes:
    """A page as a delta (`mig.xbzrle`) to what the receiver has; at most one page long."""
    if len(delta) > PAGE_BYTES:
        raise WireError(0, f"delta of {len(delta)} bytes", "send the page itself when it is longer")
    return xbzrle_word(offset, block_name) + _DELTA.pack(1, len(delta)) + delta
