"""Guest memory from a file: a raw image, or a migration stream that a real QEMU wrote.

Promises: a stream is accepted only when it is whole (every page of every block came, RAM ended, the
end and the VM description were seen); device sections are kept byte for byte and unread; memory and
time are bounded by `max_ram`. A file that cannot be used raises `ImageError` and changes nothing.
Assumes: a file that does not begin with the stream's magic is a raw image, unless its name says
`.mig`. Files compressed by gzip are recognised by content.
Does not: run the guest's device models: foreign sections are opaque.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import pathlib
import struct
import zlib
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np

from mig import wire, xbzrle
from mig.wire_decode import Decoder
from mig.wire_events import (
    Command,
    Configuration,
    DeltaPage,
    DeviceSection,
    EndOfFile,
    Page,
    PageRun,
    RamSetup,
    SectionPart,
    VmDescription,
    ZeroPage,
    ZeroRun,
)

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from mig.wire_events import Event

MAX_RAM: Final = 16 << 30
"""Default bound of guest memory in bytes."""
CHUNK: Final = 1 << 20
_GZIP_MAGIC: Final = b"\x1f\x8b"
_STREAM_MAGIC: Final = struct.pack(">I", wire.MAGIC)
_ZERO_PAGE: Final = bytes(wire.PAGE_BYTES)
_ZERO_PAGE_ARRAY: Final = np.frombuffer(_ZERO_PAGE, np.uint8)
RAW_MACHINE: Final = "none"
"""Machine name given to a raw image."""
RAW_BLOCK: Final = "ram"
"""Block name given to a raw image."""


class ImageError(Exception):
    """A file that is no usable guest memory: `path`, `what` is wrong, `remedy`."""

    def __init__(self, path: str, what: str, remedy: str) -> None:
        super().__init__(f"image {path}: {what}; {remedy}")
        self.path = path
        self.what = what
        self.remedy = remedy


class ImageBlock(NamedTuple):
    """One RAM block: its name, length in bytes and content."""

    name: str
    length: int
    data: bytearray


class GuestImage(NamedTuple):
    """A guest at rest: machine name, RAM blocks, opaque device sections and their description.

    `description` is the JSON text of the VM description, empty for a raw image; `stream_bytes` the
    size of the unpacked file.
    """

    machine: str
    blocks: tuple[ImageBlock, ...]
    devices: tuple[DeviceSection, ...]
    description: bytes
    stream_bytes: int

    @property
    def ram_bytes(self) -> int:
        """Sum of the block lengths."""
        return sum(block.length for block in self.blocks)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _chunks(file: _Readable, first: bytes) -> Iterator[bytes]:
    if first:
        yield first
    while chunk := file.read(CHUNK):
        yield chunk


class _Assembly:
    """Applies a stream's events to block buffers and remembers what came."""

    def __init__(self, path: str, max_ram: int) -> None:
        self.path = path
        self.max_ram = max_ram
        self.machine = ""
        self.blocks: dict[str, ImageBlock] = {}
        self.received: dict[str, bytearray] = {}
        self.devices: list[DeviceSection] = []
        self.description = b""
        self.ram_ended = False
        self.ended = False

    def apply(self, event: Event) -> None:
        """Take one event of the decoder; raises `ImageError` for what a file cannot hold."""
        match event:
            case Page(block, offset, data):
                self.blocks[block].data[offset : offset + wire.PAGE_BYTES] = data
                self.received[block][offset >> wire.PAGE_BITS] = 1
            case ZeroPage(block, offset):
                self.blocks[block].data[offset : offset + wire.PAGE_BYTES] = _ZERO_PAGE
                self.received[block][offset >> wire.PAGE_BITS] = 1
            case PageRun(block, offsets, pages, _):
                self.run(block, offsets, pages)
            case ZeroRun(block, offsets, _):
                self.run(block, offsets, _ZERO_PAGE_ARRAY)
            case DeltaPage(block, offset, delta):
                self.delta(block, offset, delta)
            case DeviceSection():
                self.devices.append(event)
            case RamSetup(total, blocks):
                self.setup(total, blocks)
            case Command(code, _):
                what = f"command {code}, which expects a destination that answers"
                raise ImageError(self.path, what, "write the file without return-path, postcopy")
            case _:
                self.note(event)

    def note(self, event: Event) -> None:
        """Remember how far the stream came."""
        match event:
            case Configuration(machine):
                self.machine = machine
            case SectionPart(wire.SECTION_END, _):
                self.ram_ended = True
            case EndOfFile():
                self.ended = True
            case VmDescription(text):
                self.description = text
            case _:
                pass

    def run(self, block: str, offsets: NDArray[np.int64], pages: NDArray[np.uint8]) -> None:
        numbers = offsets // wire.PAGE_BYTES
        memory = np.frombuffer(self.blocks[block].data, np.uint8)
        memory.reshape(-1, wire.PAGE_BYTES)[numbers] = pages
        np.frombuffer(self.received[block], np.uint8)[numbers] = 1

    def setup(self, total: int, blocks: tuple[tuple[str, int], ...]) -> None:
        if total > self.max_ram:
            what = f"{total} bytes of RAM, the limit is {self.max_ram}"
            raise ImageError(self.path, what, "use a smaller guest")
        for name, length in blocks:
            self.blocks[name] = ImageBlock(name, length, bytearray(length))
            self.received[name] = bytearray(length >> wire.PAGE_BITS)

    def delta(self, block: str, offset: int, delta: memoryview) -> None:
        if not self.received[block][offset >> wire.PAGE_BITS]:
            what = f"a delta for page {offset:#x} of {block!r}, which did not come before"
            raise ImageError(self.path, what, "have the source write the file again")
        with memoryview(self.blocks[block].data) as view:
            try:
                xbzrle.decode(delta, view[offset : offset + wire.PAGE_BYTES])
            except xbzrle.DeltaError as error:
                what = f"page {offset:#x} of {block!r}: {error}"
                raise ImageError(self.path, what, "have the source write the file again") from None

    def result(self, size: int) -> GuestImage:
        """The whole guest; raises `ImageError` when a part is missing."""
        missing = {name: got.count(0) for name, got in self.received.items() if 0 in got}
        if missing:
            what = f"pages never sent: {missing}"
            raise ImageError(self.path, what, "write it without multifd, and to the end")
        if not (self.ram_ended and self.ended and self.description):
            seen = {
                "RAM end": self.ram_ended,
                "end": self.ended,
                "VM description": bool(self.description),
            }
            lacking = [name for name, there in seen.items() if not there]
            what = f"no {', '.join(lacking)} in the stream"
            raise ImageError(self.path, what, "have QEMU write it to the end")
        blocks = tuple(self.blocks.values())
        return GuestImage(self.machine, blocks, tuple(self.devices), self.description, size)


def _read_stream(path: str, chunks: Iterator[bytes], max_ram: int) -> GuestImage:
    decoder = Decoder(limits=wire.Limits(ram_bytes=1 << 62))
    assembly = _Assembly(path, max_ram)
    # A guest that dirties its memory is sent several times over; a thousand times is no migration.
    left = 1000 * max_ram
    try:
        for chunk in chunks:
            left -= len(chunk)
            if left < 0:
                what = f"the stream is longer than {1000 * max_ram} bytes"
                raise ImageError(path, what, "use a smaller guest")
            decoder.feed(chunk)
            for event in decoder:
                assembly.apply(event)
        decoder.finish()
        for event in decoder:
            assembly.apply(event)
    except wire.WireError as error:
        raise ImageError(path, f"{error.what} (byte {error.offset})", error.remedy) from None
    return assembly.result(decoder.offset)


def _read_raw(path: str, chunks: Iterator[bytes], max_ram: int) -> GuestImage:
    data = bytearray()
    for chunk in chunks:
        data += chunk
        if len(data) > max_ram:
            what = f"more than {max_ram} bytes of RAM"
            raise ImageError(path, what, "use a smaller image")
    if not data or len(data) % wire.PAGE_BYTES:
        what = (
            f"a raw image of {len(data)} bytes is no whole number of {wire.PAGE_BYTES}-byte pages"
        )
        raise ImageError(path, what, "give the whole image, or a stream that begins with 'QEVM'")
    block = ImageBlock(RAW_BLOCK, len(data), data)
    return GuestImage(RAW_MACHINE, (block,), (), b"", len(data))


def _hashed(chunks: Iterator[bytes], digest: hashlib._Hash) -> Iterator[bytes]:
    for chunk in chunks:
        digest.update(chunk)
        yield chunk


def _is_stream(path: str, first: bytes) -> bool:
    named = pathlib.PurePath(path).name.removesuffix(".gz").endswith(".mig")
    return first.startswith(_STREAM_MAGIC) or named


def load(
    path: str | os.PathLike[str], *, sha256: str | None = None, max_ram: int = MAX_RAM
) -> GuestImage:
    """Read guest memory from a raw image or a stream, plain or compressed by gzip.

    `sha256` (hexadecimal, of the unpacked file) is compared when given; `max_ram` bounds the
    guest's memory in bytes. Raises `ImageError`.
    """
    name = str(path)
    digest = hashlib.sha256()
    try:
        with contextlib.ExitStack() as stack:
            plain = stack.enter_context(pathlib.Path(path).open("rb"))
            file: _Readable = plain
            if plain.read(2) == _GZIP_MAGIC:
                plain.seek(0)
                file = stack.enter_context(gzip.GzipFile(fileobj=plain))
            else:
                plain.seek(0)
            first = file.read(CHUNK)
            chunks = _hashed(_chunks(file, first), digest)
            read = _read_stream if _is_stream(name, first) else _read_raw
            image = read(name, chunks, max_ram)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        what = f"the compressed file is damaged or cut short ({error})"
        raise ImageError(name, what, "get the file again") from None
    except OSError as error:
        what = f"cannot be read ({error.strerror or error})"
        raise ImageError(name, what, "give the path of a readable file") from None
    if sha256 is not None and digest.hexdigest() != sha256:
        what = f"its digest is {digest.hexdigest()}, expected {sha256}"
        raise ImageError(name, what, "get the file again")
    return image
