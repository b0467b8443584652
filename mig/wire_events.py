"""What the stream decoder yields: one plain value per thing that stands in a migration stream.

Promises: values only; data of pages and deltas are read-only views of bytes nobody changes, so they
may be kept, though keeping one keeps the whole block of input it was read from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy as np
    from numpy.typing import NDArray

    from mig.wire import Section


class Header(NamedTuple):
    """Magic and version were right."""

    version: int


class Configuration(NamedTuple):
    """The machine that the source is."""

    machine: str


class ConfigurationExtra(NamedTuple):
    """A subsection of the configuration (`configuration/uuid`, ...) with its raw content."""

    name: str
    version: int
    content: bytes


class SectionStart(NamedTuple):
    """Head of the START section of a live section (only RAM)."""

    section_id: int
    name: str
    instance: int
    version: int


class SectionPart(NamedTuple):
    """Head of a PART or END section."""

    kind: Section
    section_id: int


class RamSetup(NamedTuple):
    """Total RAM in bytes, and (name, length in bytes) of every block.

    `addresses` are the blocks' guest addresses where the configuration has x-ignore-shared.
    """

    total: int
    blocks: tuple[tuple[str, int], ...]
    addresses: tuple[int, ...] = ()


class ZeroPage(NamedTuple):
    """The page at byte `offset` of `block` is all zeros."""

    block: str
    offset: int


class Page(NamedTuple):
    """The page at byte `offset` of `block` has this content of 4096 bytes."""

    block: str
    offset: int
    data: memoryview


class ZeroRun(NamedTuple):
    """Several `ZeroPage` of one block in the order of the stream; `offsets` are bytes.

    `raw` are the records as they stand in the stream.
    """

    block: str
    offsets: NDArray[np.int64]
    raw: memoryview


class PageRun(NamedTuple):
    """Several `Page` of one block in the order of the stream.

    `offsets` are bytes; `pages` has a row of 4096 bytes for each, spread over the input. `raw` are the
    records as they stand in the stream.
    """

    block: str
    offsets: NDArray[np.int64]
    pages: NDArray[np.uint8]
    raw: memoryview


class DeltaPage(NamedTuple):
    """The page changed by an XBZRLE delta against what the receiver holds."""

    block: str
    offset: int
    delta: memoryview


class SectionEnd(NamedTuple):
    """The footer of a START, PART or END section: its body was whole."""

    kind: Section
    section_id: int


class DeviceSection(NamedTuple):
    """A FULL section, body and footer whole; `own`: its size was known before the end."""

    section_id: int
    name: str
    instance: int
    version: int
    body: bytes
    own: bool


class Command(NamedTuple):
    """A command of the source (`MIG_CMD_*`) with its data, which `mig.wire_commands.parse` accepts."""

    code: int
    data: bytes


class Package(NamedTuple):
    """The bytes of the sections that came as one package, after its `Command`."""

    sections: bytes


class EndOfFile(NamedTuple):
    """The zero byte after the last section."""

    offset: int


class VmDescription(NamedTuple):
    """The text that describes the device sections; the last thing in a stream."""

    text: bytes


Event = (
    Header
    | Configuration
    | ConfigurationExtra
    | SectionStart
    | SectionPart
    | RamSetup
    | ZeroPage
    | Page
    | ZeroRun
    | PageRun
    | DeltaPage
    | SectionEnd
    | DeviceSection
    | Command
    | Package
    | EndOfFile
    | VmDescription
)
"""Anything that `mig.wire_decode.Decoder` yields."""


def singly(events: Iterable[Event]) -> Iterator[Event]:
    """The same events with every run taken apart into single pages."""
    for event in events:
        match event:
            case ZeroRun(block, offsets, _):
                yield from (ZeroPage(block, offset) for offset in offsets.tolist())
            case PageRun(block, offsets, pages, _):
                rows = zip(offsets.tolist(), pages, strict=True)
                yield from (Page(block, offset, memoryview(row)) for offset, row in rows)
            case _:
                yield event
