"""When the guest is stopped, and when it is slowed down."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mig.convergence import MOST_ROUNDS, SHRINK, AutoConverge, Switchover, Throttle

ALLOWED, SOON = 1000, 10
THROTTLE = Throttle(threshold=50, initial=20, increment=10, most=45)


@pytest.mark.parametrize(
    ("left", "stops"),
    [
        ([5], [True]),
        ([0], [True]),
        ([2000, 1001, 1000, 9], [False, False, True, True]),
        ([400, 100, 50, 10], [False, False, False, True]),
        ([400, 400], [False, True]),
        ([400, 100, 76], [False, False, True]),
        ([400, 2000, 900], [False, False, True]),
    ],
)
def test_switchover(left: list[int], stops: list[bool]) -> None:
    """Stopped when it is done soon, when a round wins little, or when waiting lost the chance once."""
    rule = Switchover(100_000)
    assert stops == [rule.stop_now(each, ALLOWED, SOON) for each in left]


@given(st.lists(st.integers(0, 3 * ALLOWED), max_size=60), st.integers(0, SOON))
def test_switchover_bounds(left: list[int], soon: int) -> None:
    """Never with more than allowed; never waited for longer than promised; never let a shrinking round go."""
    rule, before, waited = Switchover(100_000), 100_000, 0
    for each in left:
        stop = rule.stop_now(each, ALLOWED, soon)
        if each > ALLOWED:
            assert not stop
        else:
            waited += 1
            assert stop or (waited <= MOST_ROUNDS and each <= before * SHRINK and each > soon)
        before = each


def test_auto_converge() -> None:
    """Two periods in a row in which much is dirtied: slower, and slower again, up to the maximum."""
    rule = AutoConverge(100.0)
    found, percent = [], 0
    for second in range(1, 11):
        percent = rule.percent(100.0 + second, 51, 100 * second, THROTTLE, percent)
        found.append(percent)
    assert [0, 20, 20, 30, 30, 40, 40, 45, 45, 45] == found


def test_auto_converge_periods() -> None:
    """What is dirtied in less than a second counts for the period it lies in; one calm period begins anew."""
    rule = AutoConverge(0.0)
    steps = [(0.5, 30, 50), (1.0, 21, 100), (2.0, 50, 200), (3.0, 51, 300), (4.0, 51, 400)]
    assert [0, 0, 0, 0, 20] == [rule.percent(*step, THROTTLE, 0) for step in steps]
