"""The shared dirty log: what is marked when, and what a harvest takes."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mig.dirtylog import ByteLog
from mig.ram import PAGE_SIZE, RamBlock
from mig.tracepoints import Tracepoints
from tests.mig.machines import Notes

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGES = 20


def log(*, born: bool = False, notes: Notes | None = None) -> tuple[ByteLog, RamBlock]:
    """A log of one block of 20 pages, the third in RAM."""
    made = ByteLog(Tracepoints(listener=notes), born_dirty=born)
    block = RamBlock("ram", 3 * PAGE_SIZE, PAGES * PAGE_SIZE)
    made.add(block)
    return made, block


@given(st.lists(st.one_of(st.integers(0, PAGES - 1), st.none())))
def test_harvest(steps: list[int | None]) -> None:
    """A harvest returns exactly the pages stored to since the one before."""
    made, block = log()
    made.start()
    stored: set[int] = set()
    for page in steps:
        if page is None:
            found = made.harvest(block)
            assert (sorted(stored), len(stored)) == (found.pages.tolist(), found.marked)
            stored.clear()
        else:
            made.store(block, page * PAGE_SIZE + 5, b"x")
            stored.add(page)
    assert sorted(stored) == made.marks(block)


def test_born_dirty() -> None:
    """Every page is marked from birth, but not as marked since logging began."""
    made, block = log(born=True)
    made.start()
    made.store(block, 4 * PAGE_SIZE, b"x")
    found = made.harvest(block)
    assert (list(range(PAGES)), 1) == (found.pages.tolist(), found.marked)
    assert [] == made.marks(block)


def test_logging_off() -> None:
    """A store reaches memory but not the log while logging is off."""
    made, block = log()
    made.store(block, 0, b"first")
    assert (b"first", []) == (bytes(block.view[:5]), made.marks(block))
    made.start()
    made.store(block, 0, b"later")
    made.stop()
    made.store(block, PAGE_SIZE, b"after")
    assert [0] == made.marks(block)


def test_order() -> None:
    """The page is declared and stored to first, the log after it; then the mark is told."""
    notes = Notes()
    made, block = log(notes=notes)
    made.start()
    made.store(block, 2 * PAGE_SIZE, b"x")
    assert [("guest_page", 5, 6, True), ("dirty_log", 5, 6, True)] == notes.accesses
    assert [("logging_started", {}), ("page_marked", {"page": 5})] == notes.events


def test_mark_between_the_steps() -> None:
    """A mark set after the log was read stays for the next harvest."""

    class Late(Notes):
        def access(self, name: str, lo: int, hi: int, write: bool) -> None:
            if hi - lo > 1 and write:
                made.trace.listener = None
                made.store(block, 7 * PAGE_SIZE, b"x")

    made, block = log()
    made.start()
    made.store(block, 3 * PAGE_SIZE, b"x")
    made.trace.listener = Late()
    assert [3] == made.harvest(block).pages.tolist()
    assert [7] == made.marks(block)


def test_blocks() -> None:
    """Blocks have logs of their own; one that comes while logging is on counts as stored to."""
    made, block = log()
    made.start()
    other = RamBlock("other", 0, 2 * PAGE_SIZE)
    made.add(other)
    found = made.harvest(other)
    assert ([0, 1], 2, []) == (found.pages.tolist(), found.marked, made.marks(block))
    made.remove(other)
    made.remove(other)


def test_no_mark_is_lost() -> None:
    """Harvests beside a storing thread find every page it stored to."""
    made, block = log()
    made.start()
    stored = 5000

    def store() -> None:
        for number in range(stored):
            made.store(block, number % PAGES * PAGE_SIZE, number.to_bytes(2, "little"))

    thread = threading.Thread(target=store)
    seen: dict[int, bytes] = {}

    def harvest() -> None:
        for page in made.harvest(block).pages.tolist():
            seen[page] = bytes(block.view[page * PAGE_SIZE : page * PAGE_SIZE + 2])

    thread.start()
    while thread.is_alive():
        harvest()
    thread.join()
    harvest()
    last = {page: (stored - PAGES + page).to_bytes(2, "little") for page in range(PAGES)}
    assert last == seen


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    """Let threads take turns every 10 microseconds."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("frequent_switches")
def test_marks_during_a_harvest() -> None:
    """A harvest of a large log stands marks that come while it reads, and loses none."""
    pages = 1 << 18
    made = ByteLog(Tracepoints(), born_dirty=False)
    block = RamBlock("ram", 0, pages * PAGE_SIZE)
    made.add(block)
    made.start()
    marked = range(0, pages, 3)

    def mark() -> None:
        for _ in range(5):
            for page in marked:
                made.mark(block, page)

    found: set[int] = set()
    thread = threading.Thread(target=mark)
    thread.start()
    while thread.is_alive():
        found.update(made.harvest(block).pages.tolist())
    thread.join()
    found.update(made.harvest(block).pages.tolist())
    assert set(marked) == found
