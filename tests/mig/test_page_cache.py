"""The page cache: what it finds, what it keeps, and who gets a place."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mig.page_cache import LIFETIME, PageCache
from mig.ram import PAGE_SIZE


def numbers(*pages: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Page numbers."""
    return np.array(pages, dtype=np.int64)


def rows(*values: int) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """Pages filled with one byte each."""
    return np.repeat(np.array(values, dtype=np.uint8)[:, None], PAGE_SIZE, axis=1)


@pytest.mark.parametrize(
    ("size", "places"), [(1, 1), (4096, 1), (12287, 2), (16384, 4), (64 << 20, 16384)]
)
def test_size(size: int, places: int) -> None:
    """A power of two of places, at least one."""
    assert (places, places * PAGE_SIZE) == (PageCache(size).places, PageCache.rounded(size))


def test_replacing() -> None:
    """A page replaces itself at once, another one only when that was not used for two syncs."""
    cache = PageCache(4 * PAGE_SIZE)
    cache.put(numbers(1, 2), rows(10, 20), 0)
    cache.put(numbers(1), rows(11), 1)
    cache.put(numbers(5, 6), rows(50, 60), LIFETIME)
    held, data = cache.find(numbers(1, 2, 5, 6))
    assert [True, False, False, True] == held.tolist()
    assert [11, 60] == data[:, 0].tolist()


def test_zeros() -> None:
    """A page entered as zeros is found as zeros."""
    cache = PageCache(4 * PAGE_SIZE)
    cache.put(numbers(3), rows(9), 0)
    cache.put(numbers(3, 4), None, 0)
    assert not cache.find(numbers(3, 4)).data.any()


def test_one_place_for_two() -> None:
    """Of two pages that want a place the first gets it, unless it is the second one's already."""
    cache = PageCache(2 * PAGE_SIZE)
    cache.put(numbers(1, 3), rows(1, 3), 0)
    assert [True, False] == cache.find(numbers(1, 3)).held.tolist()
    cache.put(numbers(3), rows(3), 9)
    cache.put(numbers(1, 3), rows(4, 5), 20)
    held, data = cache.find(numbers(1, 3))
    assert ([False, True], 5) == (held.tolist(), int(data[0, 0]))


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sets(st.integers(0, 11), min_size=1, max_size=6)),
        max_size=12,
    )
)
def test_content(steps: list[tuple[int, set[int]]]) -> None:
    """Whatever is found is what was entered last for that page."""
    cache, age, last = PageCache(4 * PAGE_SIZE), 0, dict.fromkeys(range(12), 0)
    for value, (older, pages) in enumerate(steps):
        age += older
        wanted = numbers(*sorted(pages))
        before = set(wanted[cache.find(wanted).held].tolist())
        cache.put(wanted, rows(*[value] * len(pages)), age)
        last.update(dict.fromkeys(pages, value))
        held, data = cache.find(np.arange(12))
        found = np.flatnonzero(held).tolist()
        assert before <= set(found)
        # A page that was held and not put again may be gone, or holds what it held.
        fresh = [page for page in found if page in pages]
        assert [value] * len(fresh) == [int(data[found.index(page), 0]) for page in fresh]
        assert [last[page] for page in found] == data[:, 0].tolist()
