"""The RAM section at the destination: pages of the stream into the RAM blocks.

Promises: a page is written only inside its block and only after the source's block list was found
equal to this machine's; `missing` says how many pages never came, so that a guest with holes is not
started. A page that becomes zero after it was sent with content is cleared.
Assumes: no vCPU runs yet, and one thread (the one that loads) calls.
Does not: read the stream (`mig.wire_decode`), lock (the block list is copied once at setup, under
its mutex), or know about devices.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import numpy as np

from mig import wire, xbzrle
from mig.checks import KINDS, RamChecks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from mig.ram import RamBlock, RamList
    from mig.tracepoints import Tracepoints

_PAGE: Final = wire.PAGE_BYTES
_DELTA: Final = struct.Struct(">BH")
_ZERO_PAGE: Final = bytes(wire.PAGE_BYTES)
_BATCH: Final = 256
"""Pages looked at together when testing for zeros: one MiB stays in the cache."""


class LoadError(Exception):
    """A stream that does not fit this machine or is not whole: `what` is wrong, and `remedy`."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}; {remedy}")
        self.what = what
        self.remedy = remedy


class RamLoader:
    """Writes pages into the blocks of `ram`; counts records and remembers which pages came."""

    def __init__(self, ram: RamList, trace: Tracepoints) -> None:
        self.normal = 0
        """Pages that came with content."""
        self.duplicate = 0
        """Pages that came as zeros."""
        self.deltas = 0
        """Pages that came as XBZRLE deltas."""
        self.checks = RamChecks(())
        """Digests of what came."""
        self._ram = ram
        self._trace = trace
        self._blocks: dict[str, RamBlock] = {}
        self._received: dict[str, bytearray] = {}

    def setup(self, announced: Sequence[tuple[str, int]]) -> None:
        """Compare the source's blocks, (name, bytes), with this machine's; raises `LoadError`."""
        with self._ram.mutex:
            own = {block.name: block for block in self._ram.blocks()}
        theirs = dict(announced)
        for name in sorted(theirs.keys() | own.keys()):
            here = own[name].used_length if name in own else 0
            if theirs.get(name, 0) != here:
                raise LoadError(
                    f"RAM block {name!r}: {theirs.get(name, 0)} bytes at the source, {here} here",
                    "give the destination the same machine and memory",
                )
        self._blocks = own
        self._received = {name: bytearray(block.pages) for name, block in own.items()}
        self.checks = RamChecks(own)

    def pages(self) -> dict[str, int]:
        """Pages that came, by kind."""
        return dict(zip(KINDS, (self.normal, self.duplicate, self.deltas), strict=True))

    def _declare(self, block: RamBlock, offset: int) -> None:
        if (listener := self._trace.listener) is not None:
            page = block.first_page + offset // _PAGE
            listener.access("guest_page", page, page + 1, True)

    def page(self, name: str, offset: int, data: memoryview) -> None:
        """Write the 4096 bytes of a page at byte `offset` of block `name`."""
        block = self._blocks[name]
        self._declare(block, offset)
        block.view[offset : offset + _PAGE] = data
        self.checks.record(name, offset, wire.FLAG_PAGE, data)
        self._received[name][offset // _PAGE] = 1
        self.normal += 1

    def zero(self, name: str, offset: int) -> None:
        """Make a page zero; memory that is zero already is left untouched, hence unallocated."""
        block = self._blocks[name]
        self._declare(block, offset)
        if block.memory[offset : offset + _PAGE] != _ZERO_PAGE:
            block.view[offset : offset + _PAGE] = _ZERO_PAGE
        self.checks.record(name, offset, wire.FLAG_ZERO, b"\0")
        self._received[name][offset // _PAGE] = 1
        self.duplicate += 1

    def page_run(
        self, name: str, offsets: NDArray[np.int64], pages: NDArray[np.uint8], raw: memoryview
    ) -> None:
        """Write several pages; `pages` has a row of 4096 bytes for each of `offsets` (bytes); `raw`: their records."""
        if self._trace.listener is not None:
            for offset, row in zip(offsets.tolist(), pages, strict=True):
                self.page(name, offset, memoryview(row))
            return
        numbers = offsets // _PAGE
        self._blocks[name].array.reshape(-1, _PAGE)[numbers] = pages
        self.checks.records(name, raw)
        self._mark(name, numbers)
        self.normal += len(offsets)

    def zero_run(self, name: str, offsets: NDArray[np.int64], raw: memoryview) -> None:
        """Make several pages zero, as `zero` does; `offsets` are bytes, `raw` their records."""
        if self._trace.listener is not None:
            for offset in offsets.tolist():
                self.zero(name, offset)
            return
        numbers = offsets // _PAGE
        words = self._blocks[name].array.view(np.uint64).reshape(-1, _PAGE // 8)
        for at in range(0, len(numbers), _BATCH):
            batch = numbers[at : at + _BATCH]
            first, last = int(batch[0]), int(batch[-1])
            ascending = last - first == len(batch) - 1 and bool((np.diff(batch) == 1).all())
            held = words[first : last + 1] if ascending else words[batch]
            used = batch[held.any(axis=1)]
            words[used] = 0
        self.checks.records(name, raw)
        self._mark(name, numbers)
        self.duplicate += len(offsets)

    def _mark(self, name: str, numbers: NDArray[np.int64]) -> None:
        np.frombuffer(self._received[name], np.uint8)[numbers] = 1

    def delta(self, name: str, offset: int, delta: memoryview) -> None:
        """Apply an XBZRLE delta to a page that came before; raises `LoadError`."""
        block = self._blocks[name]
        where = f"page {offset:#x} of RAM block {name!r}"
        if not self._received[name][offset // _PAGE]:
            raise LoadError(f"a delta for {where}, which did not come before", "migrate again")
        self._declare(block, offset)
        head = _DELTA.pack(1, len(delta))
        self.checks.record(name, offset, wire.FLAG_XBZRLE, head + bytes(delta))
        try:
            xbzrle.decode(delta, block.view[offset : offset + _PAGE])
        except xbzrle.DeltaError as error:
            raise LoadError(f"{where}: {error}", "migrate again without xbzrle") from None
        self.deltas += 1

    def missing(self) -> dict[str, int]:
        """Number of pages that never came, for each block that lacks some."""
        counts = {name: received.count(0) for name, received in self._received.items()}
        return {name: count for name, count in counts.items() if count}
