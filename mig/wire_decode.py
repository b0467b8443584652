"""QEMU's migration stream from bytes to values: an incremental decoder without I/O.

Promises: takes the bytes in any split and yields the same pages and values in the same order, only
gathered into other runs (`mig.wire_events.singly` undoes them); raises nothing but `WireError`,
at the byte where the stream stops making sense; holds no more than one record, one device section
or (for foreign device sections) the tail allowed by `Limits`.
Assumes: the caller calls `finish` once at the end of the stream and iterates once more.
Does not: check that every page came (`mig.ram_load`), nor touch RAM.

Device sections carry no length. The size of an own one is asked of `device_size` and its body
yielded at once. At the first foreign one the decoder begins to keep what comes; at `finish` it
finds the VM description at the end, takes all sizes from it, and yields the kept sections.
"""

from __future__ import annotations

import enum
import struct
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from mig import vmdesc, wire, wire_commands
from mig.wire import RamFlag, Section, WireError
from mig.wire_events import (
    Command,
    Configuration,
    ConfigurationExtra,
    DeltaPage,
    DeviceSection,
    EndOfFile,
    Event,
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
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_U64 = struct.Struct(">Q")
_PAIR = struct.Struct(">II")
_DAMAGED: Final = "the stream is damaged or from another program; have the source write it again"
_MULTIFD: Final = "migrate without the multifd capability"
_CONFIGURATION_EXTRAS: Final = {
    wire.CONFIGURATION_PAGE_BITS,
    wire.CONFIGURATION_CAPABILITIES,
    wire.CONFIGURATION_UUID,
}
_ZERO_RECORD: Final = np.dtype([("word", ">i8"), ("fill", "u1")])
_PAGE_RECORD: Final = np.dtype([("word", ">i8"), ("page", "u1", (wire.PAGE_BYTES,))])
_DESCRIPTION_HEAD: Final = 5
"""Bytes in front of a VM description's text."""
_RUN_MIN: Final = 4
"""Records from which on looking for a run pays."""


class State(enum.Enum):
    """What the decoder expects next."""

    HEADER = enum.auto()
    CONFIGURATION = enum.auto()
    SECTION = enum.auto()
    PACKAGE = enum.auto()
    RAM_SETUP = enum.auto()
    RAM = enum.auto()
    FOOTER = enum.auto()
    TAIL = enum.auto()
    DESCRIPTION = enum.auto()
    END = enum.auto()


class _Open(NamedTuple):
    kind: Section
    section_id: int


class _Short(Exception):  # noqa: N818  control flow: more bytes are needed, nothing is wrong
    def __init__(self, wanted: int) -> None:
        super().__init__(wanted)
        self.wanted = wanted


def _no_sizes(_name: str, _instance: int, _version: int) -> int | None:
    return None


class Decoder:
    """Feed it bytes, iterate over the events they complete, call `finish` at the end of the stream.

    `device_size(name, instance, version)` gives the body size of a device section known here, else
    None.
    """

    def __init__(
        self,
        device_size: Callable[[str, int, int], int | None] = _no_sizes,
        limits: wire.Limits | None = None,
    ) -> None:
        self.state = State.HEADER
        self.blocks: dict[str, int] = {}
        """Length in bytes of every RAM block the source announced."""
        self._device_size = device_size
        self._limits = limits or wire.Limits()
        self._described: vmdesc.Description | None = None
        self._buffer = b""
        self._at = 0
        self._step_at = 0
        self._base = 0
        self._waiting: list[bytes] = []
        self._waiting_size = 0
        self._wanted = 0
        self._ended = False
        self._addressed = False
        self._package = 0
        self._open: _Open | None = None
        self._ram_id: int | None = None
        self._ram_ended = False
        self._block: str | None = None
        self._block_length = 0
        self._run_flags = 0
        self._devices: set[tuple[str, int]] = set()
        self._steps: dict[State, Callable[[], Event | None]] = {
            State.HEADER: self._header,
            State.CONFIGURATION: self._configuration,
            State.SECTION: self._section,
            State.PACKAGE: self._packaged,
            State.RAM_SETUP: self._ram_setup,
            State.RAM: self._ram,
            State.FOOTER: self._footer,
            State.TAIL: self._tail,
            State.DESCRIPTION: self._description,
            State.END: self._end,
        }

    @property
    def offset(self) -> int:
        """Position in the stream of the next byte to decode."""
        return self._base + self._at

    def feed(self, data: bytes) -> None:
        """Add the next bytes of the stream; `data` must not change afterwards."""
        if data:
            self._waiting.append(data)
            self._waiting_size += len(data)

    def finish(self) -> None:
        """Say that no more bytes come: iterating yields the rest, or raises if it is cut short."""
        self._ended = True

    def end_at_description(self) -> bool:
        """Whether kept device sections end with their description by now; iterating then yields them.

        For a source that waits for an answer and so never ends its stream.
        """
        if self.state is not State.TAIL:
            return False
        self._wanted = 0
        self._refill()
        tail = self._buffer[self._at :]
        start = vmdesc.find(tail) if tail.rstrip(b" ").endswith(b"}") else None
        if start is None:
            return False
        try:
            self._described = vmdesc.parse(tail[start + _DESCRIPTION_HEAD :])
        except vmdesc.DescriptionError:
            return False
        self.state = State.SECTION
        return True

    def __iter__(self) -> Iterator[Event]:
        """Yield every event that the bytes fed so far complete; raises `WireError`."""
        yield from self._complete()
        if self._ended:
            self._wanted = 0
            self._refill()
            if self.state is State.TAIL:
                self._describe_tail()
                yield from self._complete()
            self._check_end()

    def _complete(self) -> Iterator[Event]:
        while self._wanted <= len(self._buffer) - self._at or self._refill():
            self._step_at = self._at
            try:
                event = self._steps[self.state]()
            except _Short as short:
                self._at = self._step_at
                self._wanted = short.wanted
            else:
                if event is not None:
                    yield event

    def _refill(self) -> bool:
        if self._waiting_size == 0 or (
            len(self._buffer) - self._at + self._waiting_size < self._wanted
        ):
            return False
        rest = self._buffer[self._at :]
        self._base += self._at
        self._at = 0
        self._buffer = b"".join((rest, *self._waiting)) if rest else b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_size = 0
        self._wanted = 0
        return True

    def _check_end(self) -> None:
        left = len(self._buffer) - self._at
        if self.state not in {State.END, State.DESCRIPTION} or left:
            what = f"the stream ends inside {self.state.name.lower()} with {left} bytes left over"
            raise WireError(self.offset, what, "it was cut short; have the source write it again")

    def _fail(self, what: str, remedy: str = _DAMAGED) -> WireError:
        return WireError(self.offset, what, remedy)

    def _take(self, size: int) -> bytes:
        at = self._at
        if at + size > len(self._buffer):
            raise _Short(at + size - self._step_at)
        self._at = at + size
        return self._buffer[at : at + size]

    def _u8(self) -> int:
        return self._take(1)[0]

    def _u32(self) -> int:
        value: int = _U32.unpack(self._take(4))[0]
        return value

    def _name(self) -> str:
        raw = self._take(self._u8())
        try:
            name = raw.decode()
        except UnicodeDecodeError:
            raise self._fail(f"a name is {raw!r}, which is no UTF-8") from None
        if not name or "\0" in name:
            raise self._fail(f"a name is {name!r}")
        return name

    def _header(self) -> Event:
        magic, version = _PAIR.unpack(self._take(8))
        self._at -= 8
        if magic == wire.MULTIFD_MAGIC:
            raise self._fail("this is an additional channel of a multifd migration", _MULTIFD)
        if magic != wire.MAGIC:
            what = f"it begins with {magic:#010x}, not with {wire.MAGIC:#010x} ('QEVM')"
            raise self._fail(what, "give a migration stream that QEMU or stage3 wrote")
        if version != wire.VERSION:
            what = f"stream version {version}, only {wire.VERSION} is supported"
            raise self._fail(what, "write it with QEMU 0.13 or later")
        self._at += 8
        self.state = State.CONFIGURATION
        return Header(version)

    def _configuration(self) -> Event | None:
        kind = self._u8()
        if kind == Section.CONFIGURATION:
            return self._machine_name()
        if kind == Section.SUBSECTION:
            return self._configuration_extra()
        self._at -= 1
        self.state = State.SECTION
        return None

    def _machine_name(self) -> Event:
        length = self._u32()
        if not 0 < length <= self._limits.machine_name:
            raise self._fail(f"a machine name of {length} bytes")
        raw = self._take(length)
        try:
            return Configuration(raw.decode())
        except UnicodeDecodeError:
            raise self._fail(f"machine name {raw[:40]!r} is no UTF-8") from None

    def _configuration_extra(self) -> Event:
        name = self._name()
        version = self._u32()
        if name not in _CONFIGURATION_EXTRAS:
            raise self._fail(f"unknown configuration subsection {name!r}")
        start = self._at
        if name == wire.CONFIGURATION_UUID:
            self._take(wire.UUID_BYTES)
        elif name == wire.CONFIGURATION_PAGE_BITS:
            bits = self._u32()
            if bits != wire.PAGE_BITS:
                raise self._fail(f"pages of 2^{bits} bytes", f"use pages of {wire.PAGE_BYTES}")
        else:
            count = self._u32()
            if count > self._limits.capabilities:
                raise self._fail(f"{count} capabilities")
            names = [self._name() for _ in range(count)]
            self._addressed = wire.IGNORE_SHARED in names
        return ConfigurationExtra(name, version, self._buffer[start : self._at])

    def _section(self) -> Event | None:
        start = self._at
        kind = self._u8()
        if kind == Section.EOF:
            self.state = State.DESCRIPTION
            return EndOfFile(self.offset - 1)
        if kind in {Section.START, Section.FULL}:
            return self._named(start, Section(kind))
        if kind in {Section.PART, Section.END}:
            return self._continued(Section(kind))
        if kind == Section.COMMAND:
            return self._command()
        self._at = start
        raise self._fail(f"section type {kind:#04x} is unknown here")

    def _command(self) -> Event:
        code, length = struct.unpack(">HH", self._take(4))
        data = self._take(length)
        value = wire_commands.parse(code, data, self.offset)
        if isinstance(value, wire_commands.Packaged):
            if not 0 < value.size <= self._limits.package:
                raise self._fail(f"a package of {value.size} bytes")
            self._package = value.size
            self.state = State.PACKAGE
        return Command(code, data)

    def _packaged(self) -> Event:
        sections = self._take(self._package)
        self.state = State.SECTION
        return Package(sections)

    def _named(self, start: int, kind: Section) -> Event | None:
        section_id = self._u32()
        name = self._name()
        instance, version = _PAIR.unpack(self._take(8))
        if kind == Section.START:
            return self._start_ram(section_id, name, instance, version)
        size = self._size_of(name, instance, version)
        if size is None:
            self._at = start
            self.state = State.TAIL
            return None
        if (name, instance) in self._devices:
            raise self._fail(f"device section {name!r} instance {instance} comes twice")
        if size > self._limits.device_body:
            raise self._fail(f"device section {name!r} of {size} bytes")
        body = self._take(size)
        self._check_footer(section_id, name)
        if self._described is not None and (d := self._described.device(name, instance)):
            try:
                d.check(body)
            except vmdesc.DescriptionError as error:
                raise self._fail(str(error)) from None
        self._devices.add((name, instance))
        own = self._described is None
        return DeviceSection(section_id, name, instance, version, body, own)

    def _size_of(self, name: str, instance: int, version: int) -> int | None:
        if self._described is None:
            return self._device_size(name, instance, version)
        device = self._described.device(name, instance)
        if device is None or device.version != version:
            what = f"device section {name!r} instance {instance} version {version} is not described"
            raise self._fail(what)
        return device.body_size

    def _start_ram(self, section_id: int, name: str, instance: int, version: int) -> Event:
        if name != wire.RAM_NAME or instance:
            what = f"live section {name!r} instance {instance}, only 'ram' is supported"
            raise self._fail(what, "detach what it belongs to, then migrate again")
        if version != wire.RAM_VERSION:
            what = f"section 'ram' version {version}, only {wire.RAM_VERSION} is supported"
            raise self._fail(what, "write it with QEMU 0.14 or later")
        if self._ram_id is not None:
            raise self._fail("section 'ram' starts twice")
        self._ram_id = section_id
        self._open = _Open(Section.START, section_id)
        self.state = State.RAM_SETUP
        return SectionStart(section_id, name, instance, version)

    def _continued(self, kind: Section) -> Event:
        section_id = self._u32()
        if section_id != self._ram_id or self._ram_ended:
            raise self._fail(f"{kind.name} of section {section_id}, which is not open")
        self._ram_ended = kind == Section.END
        self._open = _Open(kind, section_id)
        self.state = State.RAM
        return SectionPart(kind, section_id)

    def _ram_setup(self) -> Event:
        (word,) = _U64.unpack(self._take(8))
        total = word & ~wire.FLAG_MASK
        if word & wire.FLAG_MASK != RamFlag.MEM_SIZE or total > self._limits.ram_bytes:
            raise self._fail(f"RAM section begins with {word:#x}, expected its size")
        blocks: dict[str, int] = {}
        addresses: list[int] = []
        left = total
        while left:
            name = self._name()
            (length,) = _U64.unpack(self._take(8))
            if name in blocks or length & wire.FLAG_MASK or not 0 < length <= left:
                raise self._fail(
                    f"RAM block {name!r} of {length} bytes, {left} are left of {total}"
                )
            if len(blocks) == self._limits.blocks:
                raise self._fail(f"more than {self._limits.blocks} RAM blocks")
            blocks[name] = length
            left -= length
            if self._addressed:
                addresses += _U64.unpack(self._take(8))
        self.blocks = blocks
        self.state = State.RAM
        return RamSetup(total, tuple(blocks.items()), tuple(addresses))

    def _run(self, flags: int, block: str, length: int) -> Event | None:
        """The records from here on that repeat flags and stride, or None when they are few.

        A record's place follows from the sizes of those before it, so everything up to the first
        one with other flags is what it seems to be. The last of them may stay for the next step.
        """
        record = _PAGE_RECORD if flags & RamFlag.PAGE else _ZERO_RECORD
        count = (len(self._buffer) - self._at) // record.itemsize
        if count < _RUN_MIN:
            return None
        for ahead in (0, _RUN_MIN - 1):
            at = self._at + ahead * record.itemsize
            if _U64.unpack_from(self._buffer, at)[0] & wire.FLAG_MASK != flags:
                return None
        rows = np.frombuffer(self._buffer, record, count, self._at)
        words = rows["word"].astype(np.int64)
        good = words & wire.FLAG_MASK == flags
        good &= (words >= 0) & (words < length)
        if record is _ZERO_RECORD:
            good &= rows["fill"] == 0
        count = int(np.argmin(good)) if not good.all() else count
        if count < _RUN_MIN:
            return None
        start, self._at = self._at, self._at + count * record.itemsize
        raw = memoryview(self._buffer)[start : self._at]
        offsets = words[:count] & ~np.int64(wire.FLAG_MASK)
        if record is _ZERO_RECORD:
            return ZeroRun(block, offsets, raw)
        return PageRun(block, offsets, rows["page"][:count], raw)

    def _ram(self) -> Event | None:
        if self._run_flags and self._block is not None:
            flags, self._run_flags = self._run_flags, 0
            run = self._run(flags, self._block, self._block_length)
            if run is not None:
                return run
        (word,) = _U64.unpack(self._take(8))
        flags = word & wire.FLAG_MASK
        if flags == RamFlag.EOS:
            self.state = State.FOOTER
            return None
        kind = flags & ~RamFlag.CONTINUE
        if kind not in {RamFlag.PAGE, RamFlag.ZERO, RamFlag.XBZRLE}:
            raise self._bad_flags(flags)
        block, length = self._block, self._block_length
        if not flags & RamFlag.CONTINUE:
            block = self._name()
            length = self.blocks.get(block, -1)
            if length < 0:
                what = f"page of RAM block {block!r}, announced are {sorted(self.blocks)}"
                raise self._fail(what)
        offset = word & ~wire.FLAG_MASK
        if block is None or offset >= length:
            raise self._fail(f"page at {offset:#x} of RAM block {block!r} of {length} bytes")
        event = self._page(kind, block, offset)
        self._block, self._block_length = block, length
        if kind != RamFlag.XBZRLE:
            self._run_flags = kind | RamFlag.CONTINUE
        return event

    def _page(self, kind: int, block: str, offset: int) -> Event:
        if kind == RamFlag.PAGE:
            at = self._at
            if at + wire.PAGE_BYTES > len(self._buffer):
                raise _Short(at + wire.PAGE_BYTES - self._step_at)
            self._at = at + wire.PAGE_BYTES
            return Page(block, offset, memoryview(self._buffer)[at : self._at])
        if kind == RamFlag.ZERO:
            fill = self._u8()
            if fill:
                raise self._fail(f"a page filled with {fill:#04x} instead of zeros")
            return ZeroPage(block, offset)
        encoding, length = struct.unpack(">BH", self._take(3))
        if encoding != 1 or length > wire.PAGE_BYTES:
            raise self._fail(f"page delta of encoding {encoding} and {length} bytes")
        return DeltaPage(block, offset, memoryview(self._take(length)))

    def _bad_flags(self, flags: int) -> WireError:
        if flags == RamFlag.MULTIFD_FLUSH:
            return self._fail("pages travel on additional multifd channels", _MULTIFD)
        if flags & RamFlag.COMPRESS_PAGE:
            return self._fail("a page compressed by QEMU", "migrate without 'compress'")
        return self._fail(f"RAM record with flags {flags:#x}")

    def _check_footer(self, section_id: int, name: str) -> None:
        kind, found = struct.unpack(">BI", self._take(5))
        if kind != Section.FOOTER or found != section_id:
            what = f"section {name!r} ends with {kind:#04x} {found}, expected 0x7e {section_id}"
            raise self._fail(what)

    def _footer(self) -> Event:
        kind, section_id = self._open or _Open(Section.FOOTER, -1)
        self._check_footer(section_id, wire.RAM_NAME)
        self._open = None
        self.state = State.SECTION
        return SectionEnd(kind, section_id)

    def _tail(self) -> Event | None:
        kept = len(self._buffer) - self._at
        if kept > self._limits.tail:
            raise self._fail(f"more than {self._limits.tail} bytes of device sections")
        raise _Short(min(2 * kept + (1 << 16), self._limits.tail + 1))

    def _describe_tail(self) -> None:
        tail = self._buffer[self._at :]
        start = vmdesc.find(tail)
        if start is None:
            what = "unknown device sections, and no VM description at the stream's end"
            raise self._fail(what, "give the whole stream, from a source that writes descriptions")
        try:
            self._described = vmdesc.parse(tail[start + _DESCRIPTION_HEAD :])
        except vmdesc.DescriptionError as error:
            raise self._fail(str(error)) from None
        self.state = State.SECTION
        self._wanted = 0

    def _description(self) -> Event:
        kind = self._u8()
        if kind != Section.VMDESCRIPTION:
            self._at -= 1
            raise self._fail(f"{kind:#04x} after the end of the stream, expected a VM description")
        length = self._u32()
        if length > self._limits.vmdescription:
            raise self._fail(f"a VM description of {length} bytes")
        text = self._take(length)
        self.state = State.END
        return VmDescription(text)

    def _end(self) -> Event | None:
        if self._at < len(self._buffer):
            left = len(self._buffer) - self._at
            raise self._fail(f"{left} bytes or more follow the end of the stream")
        raise _Short(1)
