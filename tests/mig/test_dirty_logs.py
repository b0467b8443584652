"""Dirty logs held against each other: the same stores, the same harvests."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mig.dirtylog import ByteLog, DirtyLogError
from mig.dirtylog.pagemap import Pagemap, Tracking, pages_of, why_not
from mig.dirtylog.pagescan import PageScanLog
from mig.ram import PAGE_SIZE, RamBlock
from mig.tracepoints import Tracepoints
from tests.mig.machines import Notes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mig.dirtylog import DirtyLog

PAGES = 40
REASON = why_not()
kernel = pytest.mark.skipif(REASON is not None, reason=str(REASON))

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("store"), st.integers(0, PAGES - 1), st.just(0)),
        st.tuples(st.just("increment"), st.integers(0, PAGES - 1), st.integers(1, 9)),
        st.tuples(st.sampled_from(["harvest", "start", "stop", "plug"]), st.just(0), st.just(0)),
    ),
    max_size=30,
)


class Side:
    """One log with blocks of its own, told what to do in steps."""

    def __init__(self, log: DirtyLog) -> None:
        self.log = log
        self.blocks: list[RamBlock] = []
        self.plug()

    def plug(self) -> None:
        """One block more."""
        at = len(self.blocks) * PAGES * PAGE_SIZE
        self.blocks.append(RamBlock(f"ram{at}", at, PAGES * PAGE_SIZE))
        self.log.add(self.blocks[-1])

    def harvest(self) -> list[tuple[list[int], int]]:
        """What each block's harvest finds."""
        found = [self.log.harvest(block) for block in self.blocks]
        return [(each.pages.tolist(), each.marked) for each in found]

    def step(self, what: str, page: int, count: int) -> list[tuple[list[int], int]]:
        """Do one step; what a harvest found."""
        block = self.blocks[-1]
        match what:
            case "store":
                self.log.store(block, page * PAGE_SIZE + 7, b"abc")
            case "increment":
                self.log.increment(block, page, min(page + count, PAGES), 3)
            case "start":
                self.log.start()
            case "stop":
                self.log.stop()
            case "plug" if len(self.blocks) < 3:
                self.plug()
            case "harvest":
                return self.harvest()
            case _:
                pass
        return []


@kernel
@given(STEPS, st.booleans())
def test_page_scan(steps: list[tuple[str, int, int]], born: bool) -> None:
    """The kernel's page scan finds what the accessor's log finds, in every order of steps."""
    ours = Side(ByteLog(Tracepoints(), born_dirty=born))
    theirs = Side(PageScanLog(Tracepoints(), born_dirty=born))
    try:
        for step in [*steps, ("harvest", 0, 0)]:
            assert ours.step(*step) == theirs.step(*step)
    finally:
        theirs.log.close()


@pytest.fixture
def scan() -> Iterator[Side]:
    """A page-scan log that logs, of one block."""
    side = Side(PageScanLog(Tracepoints(listener=Notes()), born_dirty=False))
    side.log.start()
    yield side
    side.log.close()


@kernel
def test_no_accessor(scan: Side) -> None:
    """Stores that nobody told the log about are found: through numpy, and by the kernel itself."""
    block = scan.blocks[0]
    block.array[5 * PAGE_SIZE] = 1
    with open("/dev/zero", "rb", buffering=0) as zeros:  # noqa: PTH123 - the point is readinto
        zeros.readinto(block.view[9 * PAGE_SIZE : 10 * PAGE_SIZE])
    assert [([5, 9], 2)] == scan.harvest()
    assert [([], 0)] == scan.harvest()


@kernel
def test_read_first(scan: Side) -> None:
    """A page read before it was ever stored to is found once, as promised, and no store is missed."""
    block = scan.blocks[0]
    assert 0 == block.array[5 * PAGE_SIZE]
    assert [([5], 1)] == scan.harvest()
    block.array[5 * PAGE_SIZE] = 1
    assert [([5], 1)] == scan.harvest()


@kernel
def test_racing_stores(scan: Side) -> None:
    """Stores that race harvests are all found by one of them: the last value is read after its mark."""
    block = scan.blocks[0]
    done = threading.Event()

    def write() -> None:
        words = block.array.view(np.uint64).reshape(PAGES, -1)
        for number in range(1, 3000):
            words[number % PAGES, 0] = number
        done.set()

    thread = threading.Thread(target=write)
    copy = np.zeros(PAGES, dtype=np.uint64)
    words = block.array.view(np.uint64).reshape(PAGES, -1)
    thread.start()
    while True:
        last = done.is_set()
        pages = scan.log.harvest(block).pages
        copy[pages] = words[pages, 0]
        if last:
            break
    thread.join()
    assert words[:, 0].tolist() == copy.tolist()


@kernel
def test_forgotten(scan: Side) -> None:
    """A block that is removed is tracked no more, and removing it again is no error."""
    block = scan.blocks[0]
    scan.log.remove(block)
    scan.log.remove(block)
    block.array[:] = 1
    scan.log.stop()
    scan.log.close()
    scan.log.close()


@kernel
def test_present() -> None:
    """What was never touched is told from what was, and looking touches nothing."""
    block = RamBlock("ram", 0, 4000 * PAGE_SIZE)
    start, end = block.array.ctypes.data, block.array.ctypes.data + block.used_length
    touched = sorted({*range(0, 4000, 3), 100, 3999})
    block.array.reshape(-1, PAGE_SIZE)[touched, 0] = 1
    pagemap = Pagemap()
    assert touched == pages_of(pagemap.present(start, end)).tolist()
    assert touched == pages_of(pagemap.present(start, end)).tolist()
    pagemap.close()


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5)), max_size=20))
def test_pages_of(runs: list[tuple[int, int]]) -> None:
    """Runs become the numbers in them."""
    rows = np.array([(lo, lo + n) for lo, n in runs], dtype=np.intp).reshape(-1, 2)
    assert [page for lo, n in runs for page in range(lo, lo + n)] == pages_of(rows).tolist()


@kernel
def test_refused() -> None:
    """Memory that cannot be tracked is refused in words."""
    tracking = Tracking()
    with pytest.raises(DirtyLogError, match="cannot be tracked"):
        tracking.register(PAGE_SIZE, 2 * PAGE_SIZE)
    tracking.close()


def test_no_process() -> None:
    """The page tables of a process that is none are refused in words."""
    with pytest.raises(DirtyLogError, match="cannot be opened"):
        Pagemap(1 << 22)
