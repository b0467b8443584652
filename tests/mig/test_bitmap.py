"""The migration bitmap against a set of page numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from mig.bitmap import MAX_PAGES, Bitmap
from mig.tracepoints import Tracepoints
from tests.mig.machines import Notes

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGES = 150
numbers = st.integers(0, PAGES - 1)
bounds = st.tuples(st.integers(0, PAGES), st.integers(0, PAGES)).map(sorted)


class Model(RuleBasedStateMachine):
    """A bitmap beside a set."""

    def __init__(self) -> None:
        super().__init__()
        self.bitmap = Bitmap(PAGES, Tracepoints())
        self.model: set[int] = set()

    @rule(page=numbers)
    def set(self, page: int) -> None:
        """One page."""
        assert (page not in self.model) == self.bitmap.set(page)
        self.model.add(page)

    @rule(page=numbers)
    def test_and_clear(self, page: int) -> None:
        """One page back."""
        assert (page in self.model) == self.bitmap.test_and_clear(page)
        self.model.discard(page)

    @rule(bound=bounds, filled=st.booleans())
    def runs(self, bound: list[int], filled: bool) -> None:
        """A run of pages."""
        lo, hi = bound
        run = set(range(lo, hi))
        if filled:
            assert len(run - self.model) == self.bitmap.set_run(lo, hi)
            self.model |= run
        else:
            assert len(run & self.model) == self.bitmap.clear_run(lo, hi)
            self.model -= run

    @rule(first=st.integers(0, 50), pages=st.sets(st.integers(0, PAGES - 51)))
    def harvest(self, first: int, pages: Iterable[int]) -> None:
        """Pages of a log."""
        found = {first + page for page in pages}
        newly = self.bitmap.harvest(np.array(sorted(pages), dtype=np.intp), first)
        assert len(found - self.model) == newly
        self.model |= found

    @rule(bound=bounds, most=st.integers(1, 40))
    def take(self, bound: list[int], most: int) -> None:
        """The first dirty pages of a range."""
        lo, hi = bound
        expected = sorted(page for page in self.model if lo <= page < hi)[:most]
        assert expected == self.bitmap.take(lo, hi, most).tolist()
        self.model -= set(expected)

    @rule(bound=bounds)
    def next_run(self, bound: list[int]) -> None:
        """The next run of dirty pages."""
        lo, hi = bound
        inside = sorted(page for page in self.model if lo <= page < hi)
        expected = None
        if inside:
            end = inside[0]
            while end in self.model and end < hi:
                end += 1
            expected = (inside[0], end)
        assert expected == self.bitmap.next_run(lo, hi)

    @invariant()
    def same(self) -> None:
        """Counter, population and each bit agree with the set."""
        assert len(self.model) == self.bitmap.count == self.bitmap.population()
        assert self.model == {page for page in range(PAGES) if self.bitmap.test(page)}


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=20, stateful_step_count=15)


@given(st.integers(0, 300))
def test_full(pages: int) -> None:
    """A full bitmap counts exactly its pages."""
    bitmap = Bitmap(pages, Tracepoints())
    assert pages == bitmap.set_run(0, pages)
    assert (pages, pages) == (bitmap.count, bitmap.population())


@pytest.mark.parametrize("page", [-1, 10])
def test_outside(page: int) -> None:
    """A page outside is refused and nothing changes."""
    bitmap = Bitmap(10, Tracepoints())
    for touch in (bitmap.set, bitmap.test_and_clear, bitmap.test):
        with pytest.raises(IndexError, match="bitmap of 10"):
            touch(page)
    with pytest.raises(IndexError):
        bitmap.harvest(np.array([page]))
    assert 0 == bitmap.population()


@pytest.mark.parametrize("pages", [-1, MAX_PAGES + 1])
def test_size(pages: int) -> None:
    """A bitmap nobody can want is refused."""
    with pytest.raises(ValueError, match=str(pages)):
        Bitmap(pages, Tracepoints())


def test_accesses() -> None:
    """Every change is declared with its range; counting the population is none."""
    notes = Notes()
    bitmap = Bitmap(100, Tracepoints(listener=notes))
    bitmap.set(3)
    bitmap.set_run(5, 9)
    bitmap.harvest(np.array([1, 4]), 10)
    bitmap.take(2, 50, 2)
    bitmap.population()
    assert [
        ("bitmap", 3, 4, True),
        ("bitmap", 5, 9, True),
        ("bitmap", 11, 15, True),
        ("bitmap", 2, 50, True),
    ] == notes.accesses
