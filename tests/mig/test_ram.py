"""RAM blocks and their list: places, order, lookups, refusals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mig.ram import PAGE_SIZE, RamError, RamList
from mig.tracepoints import Tracepoints


def ram(*pages: int) -> RamList:
    """A list of blocks a, b, c, ... of so many pages."""
    made = RamList(Tracepoints())
    for number, count in enumerate(pages):
        made.add(chr(ord("a") + number), count * PAGE_SIZE)
    return made


def test_places() -> None:
    """Blocks follow each other, page aligned; a gap is used again; the version counts changes."""
    made = ram(2, 3, 1)
    assert [0, 2, 5] == [block.first_page for block in made.blocks()]
    made.remove("b")
    made.add("small", PAGE_SIZE)
    made.add("large", 4 * PAGE_SIZE)
    assert [("a", 0), ("c", 5), ("small", 2), ("large", 6)] == [
        (block.name, block.first_page) for block in made.blocks()
    ]
    assert (6, 8, 10) == (
        made.version,
        made.total_bytes() // PAGE_SIZE,
        made.last_ram_offset() // PAGE_SIZE,
    )


def test_views() -> None:
    """Memory, view and array are the same zeroed bytes."""
    block = ram(1).find("a")
    assert bytes(PAGE_SIZE) == bytes(block.view)
    block.view[7] = 9
    assert (9, 9) == (block.memory[7], block.array[7])


@given(st.lists(st.integers(0, 5 * PAGE_SIZE - 1)))
def test_block_at(addresses: list[int]) -> None:
    """The block at an address is the one that holds it, whatever was looked up before."""
    made = ram(2, 3)
    order = made.blocks()
    for address in addresses:
        assert ("a" if address < 2 * PAGE_SIZE else "b") == made.block_at(address).name
    assert order == made.blocks()


@pytest.mark.parametrize("address", [-1, 2 * PAGE_SIZE])
def test_no_block_at(address: int) -> None:
    """An address outside RAM is refused, whether or not the cache is filled."""
    made = ram(2)
    for _ in range(2):
        with pytest.raises(RamError, match="no RAM at address"):
            made.block_at(address)
        made.block_at(0)


def test_removed_is_not_found() -> None:
    """A removed block is not found by name, nor through the cache."""
    made = ram(1, 1)
    made.block_at(PAGE_SIZE)
    made.remove("b")
    with pytest.raises(RamError):
        made.block_at(PAGE_SIZE)
    with pytest.raises(RamError, match="no RAM block 'b'; there are: a"):
        made.find("b")


@pytest.mark.parametrize(
    ("name", "length", "wrong"),
    [
        ("b", 0, "length 0"),
        ("b", PAGE_SIZE + 1, "length 4097"),
        ("b", -PAGE_SIZE, "length -4096"),
        ("a", PAGE_SIZE, "there already"),
        ("", PAGE_SIZE, "name ''"),
        ("n" * 256, PAGE_SIZE, "1 to 255"),
    ],
)
def test_refused(name: str, length: int, wrong: str) -> None:
    """A block that cannot be is refused, and the list stays as it is."""
    made = ram(1)
    with pytest.raises(RamError, match=wrong):
        made.add(name, length)
    assert (1, 1) == (len(made.blocks()), made.version)
