"""The RAM walk: what is sent equals memory, in bounded portions, cleared before read."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mig import wire
from mig.channel import Channel
from mig.dirtylog import ByteLog
from mig.parameters import UNLIMITED, Parameters
from mig.ram import PAGE_SIZE, RamList
from mig.ram_load import RamLoader
from mig.ram_save import RamChanged, RamSave
from mig.tracepoints import Tracepoints
from mig.wire_decode import Decoder
from mig.wire_events import DeltaPage, Page, RamSetup, ZeroPage, singly
from tests.mig.machines import Notes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mig.wire_events import Event

SIZES = [3, 70, 1]
PAGES = sum(SIZES)


def ram_list(trace: Tracepoints) -> RamList:
    """Three blocks of different sizes."""
    made = RamList(trace)
    for number, pages in enumerate(SIZES):
        made.add(f"block {number}", pages * PAGE_SIZE)
    return made


@pytest.fixture
def channel() -> Iterator[Channel]:
    """A channel nobody writes."""
    near, far = socket.socketpair()
    with near, far:
        yield Channel(near, Tracepoints(), UNLIMITED)


def saver(
    channel: Channel, *, notes: Notes | None = None, xbzrle: bool = False, **parameters: int
) -> RamSave:
    """A walk over three blocks whose pages are all dirty, and whose log is clear."""
    ram = ram_list(Tracepoints("source", notes))
    log = ByteLog(ram.trace)
    for block in ram.blocks():
        log.add(block)
    made = RamSave(ram, log, channel, Parameters(**parameters), xbzrle=xbzrle)
    made.fill()
    log.start()
    made.setup_harvest()
    return made


def events(made: RamSave, bodies: Sequence[list[bytes]]) -> list[Event]:
    """What a destination reads of these section bodies."""
    decoder = Decoder()
    stream = wire.header() + wire.configuration("toy")
    stream += wire.section_start(wire.SECTION_START, 2, "ram", 0, 4)
    stream += b"".join(made.setup()) + wire.footer(2)
    for body in bodies:
        stream += wire.section_part(wire.SECTION_PART, 2) + b"".join(body) + wire.footer(2)
    decoder.feed(stream)
    return list(singly(decoder))


def load(made: RamSave, bodies: Sequence[list[bytes]]) -> RamList:
    """The memory of a destination that read these section bodies; all pages must have come."""
    there = ram_list(Tracepoints("destination"))
    loader = RamLoader(there, there.trace)
    for event in events(made, bodies):
        match event:
            case RamSetup(_, blocks):
                loader.setup(blocks)
            case Page(name, offset, data):
                loader.page(name, offset, data)
            case ZeroPage(name, offset):
                loader.zero(name, offset)
            case DeltaPage(name, offset, delta):
                loader.delta(name, offset, delta)
            case _:
                pass
    assert {} == loader.missing()
    return there


def scatter(made: RamSave, pages: Sequence[int]) -> None:
    """Store to pages, numbered over all blocks."""
    for page in pages:
        block = made.ram.block_at(page * PAGE_SIZE)
        address = page * PAGE_SIZE - block.offset
        value = (block.view[address] + 1) & 0xFF
        made.log.store(block, address, bytes((value,)))


def same(one: RamList, other: RamList) -> bool:
    """Whether both hold the same."""
    pairs = zip(one.blocks(), other.blocks(), strict=True)
    return all(np.array_equal(mine.array, theirs.array) for mine, theirs in pairs)


@settings(max_examples=25)
@given(
    st.lists(st.lists(st.integers(0, PAGES - 1), max_size=20), min_size=1, max_size=4),
    st.integers(1, 50),
    st.integers(1, 20),
)
def test_whole(rounds: list[list[int]], portion: int, batch: int) -> None:
    """Portions while pages are stored to, then the rest: the destination holds what is here."""
    near, far = socket.socketpair()
    with near, far:
        made = saver(
            Channel(near, Tracepoints(), UNLIMITED), portion_pages=portion, batch_pages=batch
        )
        bodies: list[list[bytes]] = []
        for pages in rounds:
            scatter(made, pages)
            if body := made.iterate():
                bodies.append(body)
            made.sync()
        scatter(made, rounds[0])
        bodies.append(made.complete())
        assert (0, 0) == (made.bitmap.count, made.bitmap.population())
        there = load(made, bodies)
        assert same(made.ram, there)


@settings(max_examples=40)
@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, PAGES - 1), st.integers(0, 3), st.integers(1, 4096)),
            max_size=20,
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 50),
    st.sampled_from([1, 8, 128]),
)
def test_deltas(rounds: list[list[tuple[int, int, int]]], batch: int, cache: int) -> None:
    """With XBZRLE, pages changed much, little, not at all or to zeros: the destination holds what is here."""
    near, far = socket.socketpair()
    with near, far:
        made = saver(
            Channel(near, Tracepoints(), UNLIMITED),
            xbzrle=True,
            batch_pages=batch,
            xbzrle_cache_size=cache * PAGE_SIZE,
        )
        bodies = [made.iterate()]
        for number, pages in enumerate(rounds):
            for page, value, length in pages:
                block = made.ram.block_at(page * PAGE_SIZE)
                data = bytes((value,)) * length
                made.log.store(block, page * PAGE_SIZE - block.offset, data)
            made.sync()
            if body := made.iterate():
                bodies.append(body)
            if number == 2:
                made.parameters = Parameters(batch_pages=batch, xbzrle_cache_size=16 * PAGE_SIZE)
        bodies.append(made.complete())
        there = load(made, bodies)
        assert same(made.ram, there)
        counted = made.xbzrle_stats
        assert counted is not None
        found = events(made, bodies)
        deltas = [len(event.delta) + 3 for event in found if isinstance(event, DeltaPage)]
        assert (len(deltas), sum(deltas)) == (counted.pages, counted.bytes)
        assert made.normal == sum(isinstance(event, Page) for event in found)
        assert made.duplicate == sum(isinstance(event, ZeroPage) for event in found)
        dirtied = PAGES + sum(sync.newly for sync in made.syncs)
        assert (
            dirtied == made.walked == len(deltas) + made.normal + made.duplicate + counted.unchanged
        )


def test_delta_figures(channel: Channel) -> None:
    """From the second round on: first a miss, then deltas; a page that was not changed is not sent."""
    made = saver(channel, xbzrle=True)
    scatter(made, [6])
    made.iterate()
    counted = made.xbzrle_stats
    assert counted is not None
    for _ in range(3):
        scatter(made, [4, 5])
        made.log.mark(made.blocks[1], 3)
        made.sync()
        made.iterate()
    made.sync()
    assert (4, 4 * 6, 3, 0) == (counted.pages, counted.bytes, counted.cache_miss, counted.overflow)
    assert (0.0, PAGE_SIZE / 6) == (counted.cache_miss_rate, counted.encoding_rate)
    assert (4, PAGES - 1, 2) == (made.normal, made.duplicate, counted.unchanged)


def test_portions(channel: Channel) -> None:
    """A portion holds no more pages than allowed; when nothing is dirty it is empty."""
    made = saver(channel, portion_pages=10, batch_pages=4)
    bodies, sent = [], []
    while body := made.iterate():
        bodies.append(body)
        found = [event for event in events(made, bodies) if isinstance(event, Page | ZeroPage)]
        sent.append(len(found))
    assert [10, 20, 30, 40, 50, 60, 70, 74] == sent
    assert (0, PAGES) == (made.normal, made.duplicate)
    assert [wire.ram_eos()] == made.complete()


def test_room(channel: Channel) -> None:
    """A portion ends after the batch (2, 1, 2 pages) that fills the window's budget."""
    made = saver(channel, batch_pages=2)
    scatter(made, range(PAGES))
    channel.limit = 5 * PAGE_SIZE
    assert 5 == len([event for event in events(made, [made.iterate()]) if isinstance(event, Page)])


def test_syncs(channel: Channel) -> None:
    """Each sync says what is newly dirty and what was stored to; the setup's counts for neither."""
    notes = Notes()
    made = saver(channel, notes=notes, portion_pages=PAGES)
    made.iterate()
    scatter(made, [1, 5, 5])
    made.sync()
    scatter(made, [5, 6])
    made.sync()
    assert [(2, 2), (1, 2)] == [tuple(sync) for sync in made.syncs]
    assert 3 * PAGE_SIZE == made.remaining
    assert [
        {"number": 0, "newly": 0, "marked_since": 0},
        {"number": 1, "newly": 2, "marked_since": 2},
        {"number": 2, "newly": 1, "marked_since": 2},
    ] == notes.named("sync")


def test_cleared_before_read(channel: Channel) -> None:
    """The bitmap is cleared, then the pages are read, then they are told as sent."""
    notes = Notes()
    made = saver(channel, notes=notes, portion_pages=2, batch_pages=2)
    notes.accesses.clear()
    made.iterate()
    assert [("bitmap", True), ("guest_page", False)] == [
        (name, write) for name, _, _, write in notes.accesses
    ]
    assert [{"page": 0, "zero": True}, {"page": 1, "zero": True}] == notes.named("page_sent")


def test_changed_list(channel: Channel) -> None:
    """A block that comes during the migration ends it; no lock stays held."""
    made = saver(channel)
    made.ram.add("more", PAGE_SIZE)
    for stage in (made.sync, made.iterate, made.complete):
        with pytest.raises(RamChanged, match="version 3 to 4"):
            stage()
        assert not made.ram.mutex.locked()
        assert not made.bitmap.lock.locked()


def test_after_an_error(channel: Channel) -> None:
    """A channel in error gets nothing more, and the ramlist mutex is free."""
    made = saver(channel)
    channel.fail(OSError("gone"))
    assert [] == made.iterate()
    assert PAGES == made.bitmap.count
    assert not made.ram.mutex.locked()
