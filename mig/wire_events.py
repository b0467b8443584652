"""What the stream decoder yields: one plain value per thing that stands in a migration stream.

Promises: values only; data of pages and deltas are read-only views of bytes nobody changes, so they
may be kept, though keeping one keeps the whole block of input it was read from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
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
    """Total RAM in bytes, and (name, length in bytes) of every block."""

    total: int
    blocks: tuple[tuple[str, int], ...]


class ZeroPage(NamedTuple):
    """The page at byte `offset` of `block` is all zeros."""

    block: str
    offset: int


class Page(NamedTuple):
    """The page at byte `offset` of `block` has this content of 4096 bytes."""

    block: str
    offset: int
    data: memoryview


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
    """A command of the source (`MIG_CMD_*`) with its data."""

    code: int
    data: bytes


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
    | DeltaPage
    | SectionEnd
    | DeviceSection
    | Command
    | EndOfFile
    | VmDescription
)
"""Anything that `mig.wire_decode.Decoder` yields."""
