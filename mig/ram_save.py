"""The RAM section at the source: harvests, and the walk over dirty pages.

Promises: a page is cleared in the private bitmap before it is read; `iterate` sends a bounded
portion; after `complete` no page is dirty. Every page walked is counted once (`walked`). Nothing here blocks but the
locks.
Assumes: the big lock is held (log and block list keep still), and for `complete` the guest is
stopped. `sync` and the walks take the ramlist mutex, and inside it the bitmap lock.
Does not: write to the channel; it returns the pieces of the section body.

A change of the block list during a migration ends the migration (`RamChanged`): the destination
was told the list at the start.

With XBZRLE a page is copied before anything is decided, so that what is sent is what the cache holds. Deltas begin with
the second round: in the first nothing would be found.

Source: QEMU migration/ram.c (ram_save_setup, _iterate, _complete, migration_bitmap_sync);
fb6135807f (the setup's harvest counts no page as dirtied).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from mig import wire
from mig.bitmap import Bitmap
from mig.checks import KINDS, RamChecks
from mig.ram import PAGE_SIZE
from mig.ram_xbzrle import WORD, DeltaSender

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from mig.channel import Channel
    from mig.dirtylog import DirtyLog
    from mig.parameters import Parameters
    from mig.ram import RamBlock, RamList
    from mig.ram_xbzrle import XbzrleStats


class RamChanged(Exception):  # noqa: N818 - what happened
    """The block list changed while it was migrated."""

    def __init__(self, before: int, now: int) -> None:
        super().__init__(
            f"the RAM block list changed during the migration (version {before} to {now});"
            " migrate again"
        )


class Sync(NamedTuple):
    """One harvest: pages newly dirty, and pages marked by a store since the one before."""

    newly: int
    marked: int


class RamSave:
    """RAM of one outgoing migration; `xbzrle`: with deltas."""

    def __init__(
        self,
        ram: RamList,
        log: DirtyLog,
        channel: Channel,
        parameters: Parameters,
        *,
        xbzrle: bool = False,
    ) -> None:
        self.ram = ram
        self.log = log
        self.channel = channel
        self.parameters = parameters
        self.trace = ram.trace
        self.version = ram.version
        self.blocks: tuple[RamBlock, ...] = ram.blocks()
        self.bitmap = Bitmap(ram.last_ram_offset() // PAGE_SIZE, ram.trace)
        self.syncs: list[Sync] = []
        """The harvests after the setup's."""
        self.setup_syncs = 0
        self.normal = 0
        """Pages sent with content."""
        self.duplicate = 0
        """Pages sent as zeros."""
        self.rounds = 0
        """How often the walk came to the end of the last block."""
        self.deltas = DeltaSender(parameters.xbzrle_cache_size) if xbzrle else None
        self.checks = RamChecks(block.name for block in self.blocks)
        """Digests of what was sent."""
        self._at_block = 0
        self._at_page = 0
        self._named: RamBlock | None = None

    # --- harvests --------------------------------------------------------------------------------

    def fill(self) -> None:
        """Make every page of every block dirty in the private bitmap."""
        with self.bitmap.lock:
            for block in self.blocks:
                self.bitmap.set_run(block.first_page, block.first_page + block.pages)

    def setup_harvest(self) -> None:
        """Clear the shared log of what it holds from before; the ramlist mutex is held."""
        found = self.harvest()
        self.setup_syncs += 1
        self._tell_sync(0, found)

    def sync(self) -> Sync:
        """Take the marks of the shared log into the private bitmap."""
        with self.ram.mutex:
            return self.sync_locked()

    def sync_locked(self) -> Sync:
        """`sync` for a caller that holds the ramlist mutex."""
        self._check_version()
        found = self.harvest()
        self.syncs.append(found)
        if self.deltas is not None:
            self.deltas.update_rates(self.walked)
        self._tell_sync(len(self.syncs), found)
        return found

    def harvest(self) -> Sync:
        """Move all marks into the bitmap."""
        newly = marked = 0
        with self.bitmap.lock:
            for block in self.blocks:
                found = self.log.harvest(block)
                newly += self.bitmap.harvest(found.pages, block.first_page)
                marked += found.marked
        return Sync(newly, marked)

    def _tell_sync(self, number: int, found: Sync) -> None:
        if (listener := self.trace.listener) is not None:
            listener.event("sync", number=number, newly=found.newly, marked_since=found.marked)

    def _check_version(self) -> None:
        if self.ram.version != self.version:
            raise RamChanged(self.version, self.ram.version)

    @property
    def walked(self) -> int:
        """Pages taken off the bitmap since the start, whatever was sent of them."""
        walked = self.normal + self.duplicate
        if self.deltas is not None:
            walked += self.deltas.stats.pages + self.deltas.stats.unchanged
        return walked

    def pages(self) -> dict[str, int]:
        """Pages sent, by kind."""
        deltas = 0 if self.deltas is None else self.deltas.stats.pages
        return dict(zip(KINDS, (self.normal, self.duplicate, deltas), strict=True))

    @property
    def xbzrle_stats(self) -> XbzrleStats | None:
        """The figures of XBZRLE, None without it."""
        return None if self.deltas is None else self.deltas.stats

    @property
    def remaining(self) -> int:
        """Bytes of the pages known to be dirty."""
        return self.bitmap.count * PAGE_SIZE

    # --- the stages ------------------------------------------------------------------------------

    def setup(self) -> list[bytes]:
        """Body of the START section."""
        sizes = [(block.name, block.used_length) for block in self.blocks]
        return [wire.ram_setup(sum(size for _, size in sizes), sizes), wire.ram_eos()]

    def iterate(self) -> list[bytes]:
        """Body of a PART section, as much as parameters and budget allow; empty without any."""
        with self.ram.mutex:
            if self.channel.error is not None:
                return []
            return self.portion()

    def portion(self) -> list[bytes]:
        """The walk of `iterate`; the ramlist mutex is held."""
        self._check_version()
        channel = self.channel
        room = channel.limit - channel.bytes_xfer - channel.buffered
        return self._walk(self.parameters.portion_pages, room, self.parameters.iterate_ms / 1000)

    def complete(self) -> list[bytes]:
        """Body of the END section: the last harvest and every dirty page."""
        with self.ram.mutex:
            self.sync_locked()
            return self._walk(self.bitmap.pages, None, None) or [wire.ram_eos()]

    # --- the walk --------------------------------------------------------------------------------

    def _walk(self, pages: int, room: int | None, seconds: float | None) -> list[bytes]:
        """Pieces of at most `pages` pages; ends after `room` bytes or `seconds`."""
        pieces: list[bytes] = []
        if self.deltas is not None:
            self.deltas.resize(self.parameters.xbzrle_cache_size)
        deadline = None if seconds is None else time.monotonic() + seconds
        while pages > 0:
            with self.bitmap.lock:
                batch = self._next_batch(min(pages, self.parameters.batch_pages))
            if batch is None:
                break
            block, found = batch
            names = self._named is not block
            made = self._encode(block, found)
            self.checks.sent(block.name, made, names=names)
            pieces += made
            pages -= len(found)
            if room is not None:
                room -= sum(map(len, made))
                if room <= 0:
                    break
            if deadline is not None and time.monotonic() >= deadline:
                break
        if pieces:
            pieces.append(wire.ram_eos())
        return pieces

    def _next_batch(self, most: int) -> tuple[RamBlock, NDArray[np.intp]] | None:
        """The next dirty pages of one block, cleared; None when no page is dirty."""
        if not self.bitmap.count:
            return None
        for _ in range(len(self.blocks) + 1):
            block = self.blocks[self._at_block]
            end = block.first_page + block.pages
            start = block.first_page + self._at_page
            found = self.bitmap.take(start, end, most)
            if found.size:
                self._at_page = int(found[-1]) + 1 - block.first_page
                return block, found - block.first_page
            self._next_block()
        raise AssertionError(
            f"internal error in stage3: {self.bitmap.count} dirty pages in no block"
        )

    def _next_block(self) -> None:
        self._at_page = 0
        self._at_block += 1
        if self._at_block == len(self.blocks):
            self._at_block = 0
            self.rounds += 1
            if self.deltas is not None:
                self.deltas.on = True

    def _encode(self, block: RamBlock, pages: NDArray[np.intp]) -> list[bytes]:
        """Records of `pages` of `block`: those of zeros first, then those with content."""
        lo, hi = int(pages[0]), int(pages[-1]) + 1
        listener = self.trace.listener
        if listener is not None:
            listener.access("guest_page", block.first_page + lo, block.first_page + hi, False)
        rows = block.array.reshape(-1, PAGE_SIZE)
        data = rows[lo:hi] if hi - lo == len(pages) else rows[pages]
        deltas = self.deltas if self.deltas is not None and self.deltas.on else None
        if deltas is not None and data.base is not None:
            data = data.copy()
        content = np.bitwise_or.reduce(data.view(np.uint64), axis=1) != 0
        full = int(np.count_nonzero(content))
        made = []
        if full < len(pages):
            zeros = pages[~content]
            made += self._zero_records(block, zeros)
            if deltas is not None:
                deltas.zeros(zeros + block.first_page, len(self.syncs))
        self.duplicate += len(pages) - full
        if full:
            same = full == len(pages)
            dirty, held = (pages, data) if same else (pages[content], data[content])
            if deltas is not None:
                made += self._delta_records(deltas, block, dirty, held)
            else:
                made += self._page_records(block, dirty, held)
                self.normal += full
        if listener is not None:
            for page, has_content in zip(pages.tolist(), content.tolist(), strict=True):
                listener.event("page_sent", page=block.first_page + page, zero=not has_content)
        return made

    def _name(self, block: RamBlock) -> str | None:
        """The block's name for the next record, None while it is the current one."""
        if self._named is block:
            return None
        self._named = block
        return block.name

    def _zero_records(self, block: RamBlock, pages: NDArray[np.intp]) -> list[bytes]:
        first = wire.zero_record(int(pages[0]) * PAGE_SIZE, self._name(block))
        records = np.zeros((len(pages) - 1, WORD + 1), dtype=np.uint8)
        records[:, :WORD] = _words(pages[1:], wire.FLAG_ZERO)
        return [first, records.tobytes()]

    def _delta_records(
        self,
        deltas: DeltaSender,
        block: RamBlock,
        pages: NDArray[np.intp],
        data: NDArray[np.uint8],
    ) -> list[bytes]:
        found = deltas.encode(pages + block.first_page, pages * PAGE_SIZE, data, len(self.syncs))
        made: list[bytes] = []
        whole = int(np.count_nonzero(found.whole))
        self.normal += whole
        if whole:
            made += self._page_records(block, pages[found.whole], data[found.whole])
        if found.deltas.size:
            records = found.records.tobytes()
            if (name := self._name(block)) is not None:
                address = int(pages[found.deltas[0]]) * PAGE_SIZE
                made.append(wire.xbzrle_word(address, name))
                records = records[WORD:]
            made.append(records)
        return made

    def _page_records(
        self, block: RamBlock, pages: NDArray[np.intp], data: NDArray[np.uint8]
    ) -> list[bytes]:
        first = wire.page_header(int(pages[0]) * PAGE_SIZE, self._name(block))
        records = np.empty((len(pages) - 1, WORD + PAGE_SIZE), dtype=np.uint8)
        records[:, :WORD] = _words(pages[1:], wire.FLAG_PAGE)
        records[:, WORD:] = data[1:]
        return [first + data[0].tobytes(), records.tobytes()]


def _words(pages: NDArray[np.intp], flag: int) -> NDArray[np.uint8]:
    """Record heads of pages of the current block, a row of eight bytes each."""
    words = pages.astype(np.uint64) * np.uint64(PAGE_SIZE) | np.uint64(flag | wire.FLAG_CONTINUE)
    return words.astype(">u8").view(np.uint8).reshape(-1, WORD)
