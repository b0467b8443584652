"""Pages into RAM blocks: runs and single pages do the same, and holes are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mig import wire
from mig.ram import PAGE_SIZE, RamList
from mig.ram_load import LoadError, RamLoader
from mig.tracepoints import Tracepoints

if TYPE_CHECKING:
    from numpy.typing import NDArray

PAGES = 12


class Accesses:
    """A listener that notes every declared access."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, int, int, bool]] = []

    def access(self, name: str, lo: int, hi: int, write: bool) -> None:
        """Note it."""
        self.seen.append((name, lo, hi, write))

    def event(self, name: str, **values: int | str | bool) -> None:
        """Nothing to note."""


def loader(listener: Accesses | None = None) -> tuple[RamLoader, RamList]:
    """A loader over two blocks, the second filled with ones."""
    trace = Tracepoints("destination", listener)
    ram = RamList(trace)
    ram.add("low", 2 * PAGE_SIZE)
    ram.add("ram", PAGES * PAGE_SIZE).array[:] = 1
    made = RamLoader(ram, trace)
    made.setup([(block.name, block.used_length) for block in ram.blocks()])
    return made, ram


runs = st.lists(
    st.tuples(st.booleans(), st.lists(st.integers(0, PAGES - 1), min_size=1, max_size=8)),
    max_size=4,
)


def records(pages: list[int], rows: NDArray[np.uint8] | None = None) -> memoryview:
    """The records of zero pages, or of pages with these contents, that do not name their block."""
    made = [
        wire.zero_record(page * PAGE_SIZE, None)
        if rows is None
        else wire.page_header(page * PAGE_SIZE, None) + rows[at].tobytes()
        for at, page in enumerate(pages)
    ]
    return memoryview(b"".join(made))


@given(runs)
def test_runs_equal_single_pages(drawn: list[tuple[bool, list[int]]]) -> None:
    """Runs written at once, one by one under a listener, and single pages leave the same memory."""
    listener = Accesses()
    (fast, fast_ram), (slow, slow_ram), (plain, plain_ram) = loader(), loader(listener), loader()
    written: list[int] = []
    for zero, pages in drawn:
        offsets = np.array(pages, dtype=np.int64) * PAGE_SIZE
        fills = np.arange(2, 2 + len(pages), dtype=np.uint8)
        rows = np.repeat(fills, PAGE_SIZE).reshape(-1, PAGE_SIZE)
        for each in (fast, slow):
            if zero:
                each.zero_run("ram", offsets, records(pages))
            else:
                each.page_run("ram", offsets, rows, records(pages, rows))
        for at, page in enumerate(pages):
            written.append(page)
            if zero:
                plain.zero("ram", page * PAGE_SIZE)
            else:
                plain.page("ram", page * PAGE_SIZE, memoryview(rows[at]))
    memory = bytes(plain_ram.find("ram").view)
    assert bytes(fast_ram.find("ram").view) == memory
    assert bytes(slow_ram.find("ram").view) == memory
    counts = (plain.pages(), plain.missing(), plain.checks.digests())
    assert (fast.pages(), fast.missing(), fast.checks.digests()) == counts
    assert (slow.pages(), slow.missing(), slow.checks.digests()) == counts
    assert listener.seen == [("guest_page", page + 2, page + 3, True) for page in written]


def test_missing_counts_pages_that_never_came() -> None:
    """Each page is missing until it came once, as content, zeros or within a run."""
    made, _ = loader()
    assert made.missing() == {"low": 2, "ram": PAGES}
    made.zero("low", 0)
    made.page("low", PAGE_SIZE, memoryview(bytes(PAGE_SIZE)))
    numbers = np.arange(PAGES - 1, dtype=np.int64)
    made.zero_run("ram", numbers * PAGE_SIZE, records(numbers.tolist()))
    assert made.missing() == {"ram": 1}


@pytest.mark.parametrize(
    ("blocks", "what"),
    [
        ([("low", 8192)], "'ram': 0 bytes at the source, 49152 here"),
        ([("low", 4096), ("ram", 49152)], "'low': 4096 bytes at the source, 8192 here"),
        ([("low", 8192), ("ram", 49152), ("vga", 4096)], "'vga': 4096 bytes at the source, 0"),
    ],
)
def test_other_blocks_are_refused(blocks: list[tuple[str, int]], what: str) -> None:
    """A block list that differs is refused with block and both lengths."""
    made, _ = loader()
    with pytest.raises(LoadError) as caught:
        made.setup(blocks)
    assert what in caught.value.what
