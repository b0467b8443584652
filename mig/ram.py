"""Guest RAM: blocks on anonymous memory, and the list of blocks with its version and mutex.

Promises: blocks lie page aligned in one global address space and never overlap; the order of
`blocks()` is the order of creation and no lookup changes it; `version` grows with every change.
Assumes: who iterates over the list holds the big lock or `mutex`; who changes it holds the big lock
(or no other thread runs yet), and `add` and `remove` take `mutex` themselves.
Does not: track dirty pages (`mig.dirtylog`, `mig.bitmap`).

Source: QEMU f798b07f51 (version), b2a8658ef5 (mutex), 0d6d3c87a2 and a3161038a1 (stable order and a
one-entry cache of the most recently used block).
"""

from __future__ import annotations

import contextlib
import mmap
import threading
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mig.tracepoints import Tracepoints

PAGE_SIZE: Final = 4096
"""Bytes of a guest page."""
NAME_MAX: Final = 255
"""Longest block name in bytes that the stream can carry."""
HUGE_FROM: Final = 1 << 30
"""Blocks of so many bytes ask for huge pages: reading what was never written then costs a tenth."""
_NORESERVE: Final = 0x4000
"""MAP_NORESERVE; the mmap module knows the name only since Python 3.13."""


class RamError(LookupError):
    """A block that cannot be made or found; the text says which, and what to do."""


class RamBlock:
    """One piece of guest memory.

    `offset` and `used_length` are bytes in the global RAM space, multiples of `PAGE_SIZE`;
    `memory`, `view` and `array` are three views of the same bytes.
    """

    __slots__ = ("array", "first_page", "memory", "name", "offset", "pages", "used_length", "view")

    def __init__(self, name: str, offset: int, length: int) -> None:
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE
        self.name = name
        self.offset = offset
        self.used_length = length
        self.pages = length // PAGE_SIZE
        self.first_page = offset // PAGE_SIZE
        self.memory = mmap.mmap(-1, length, flags=flags)
        if length >= HUGE_FROM and hasattr(mmap, "MADV_HUGEPAGE"):
            with contextlib.suppress(OSError):  # a kernel without them: slower, nothing else
                self.memory.madvise(mmap.MADV_HUGEPAGE)
        self.view = memoryview(self.memory)
        self.array: NDArray[np.uint8] = np.frombuffer(self.memory, dtype=np.uint8)

    def release(self) -> None:
        """Give the memory back to the kernel: every page reads as zeros from now on."""
        self.memory.madvise(mmap.MADV_DONTNEED)

    def __repr__(self) -> str:
        return f"RamBlock({self.name!r}, offset={self.offset:#x}, length={self.used_length:#x})"


class RamList:
    """All RAM blocks of a machine."""

    def __init__(self, trace: Tracepoints) -> None:
        self.trace = trace
        self.mutex = threading.Lock()
        self.version = 0
        self._blocks: tuple[RamBlock, ...] = ()
        self._recent: RamBlock | None = None

    def blocks(self) -> tuple[RamBlock, ...]:
        """All blocks in the order of creation; a snapshot that later changes leave alone."""
        return self._blocks

    def add(self, name: str, length: int) -> RamBlock:
        """Make a zeroed block of `length` bytes in the first gap that holds it.

        Raises `RamError` for a length that is no positive number of pages, or a name that is in use
        or does not fit into the stream.
        """
        if length <= 0 or length % PAGE_SIZE:
            raise RamError(
                f"RAM block {name!r}: length {length} is no positive multiple of {PAGE_SIZE} bytes;"
                " give a whole number of pages"
            )
        if not 0 < len(name.encode()) <= NAME_MAX:
            raise RamError(f"RAM block name {name!r}: use 1 to {NAME_MAX} bytes")
        with self.mutex:
            if any(block.name == name for block in self._blocks):
                raise RamError(f"RAM block {name!r} is there already; give another name")
            block = RamBlock(name, self._gap(length), length)
            self._blocks = (*self._blocks, block)
            self._recent = None
            self.version += 1
        return block

    def _gap(self, length: int) -> int:
        end = 0
        for block in sorted(self._blocks, key=lambda block: block.offset):
            if block.offset - end >= length:
                break
            end = block.offset + block.used_length
        return end

    def remove(self, name: str) -> None:
        """Take a block off the list; raises `RamError`."""
        with self.mutex:
            gone = self.find(name)
            self._blocks = tuple(block for block in self._blocks if block is not gone)
            self._recent = None
            self.version += 1

    def find(self, name: str) -> RamBlock:
        """The block of that name; raises `RamError`."""
        for block in self._blocks:
            if block.name == name:
                return block
        known = ", ".join(block.name for block in self._blocks) or "none"
        raise RamError(f"no RAM block {name!r}; there are: {known}")

    def block_at(self, address: int) -> RamBlock:
        """The block that holds byte `address` of the global RAM space; raises `RamError`.

        The block found last is tried first. The cache is one reference, read once and checked
        before use, so any thread may look up while another does.
        """
        recent = self._recent
        if recent is not None and 0 <= address - recent.offset < recent.used_length:
            return recent
        for block in self._blocks:
            if 0 <= address - block.offset < block.used_length:
                self._recent = block
                return block
        raise RamError(f"no RAM at address {address:#x}; it ends at {self.last_ram_offset():#x}")

    def total_bytes(self) -> int:
        """Sum of the lengths of all blocks."""
        return sum(block.used_length for block in self._blocks)

    def last_ram_offset(self) -> int:
        """First byte after the last block: bitmaps cover this much, holes included."""
        return max((block.offset + block.used_length for block in self._blocks), default=0)
