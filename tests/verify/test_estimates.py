"""How many executions remain: descents are unbiased, the interval is what it says, the search goes on."""

from __future__ import annotations

from math import exp, inf, log
from statistics import fmean

import pytest

from bench import estimates as bench
from bench import statistics
from bench.programs import BY_NAME, locked
from verify import DFS, URW, RandomWalk, Verdict, explore
from verify.estimates import LEAST_DESCENTS, Descents, Estimate, quantile, rounded
from verify.program import of, of_code
from verify.session import Session
from verify.strategies import dfs
from verify.strategies.descent import Descent, sum_of

from . import zoo


def descents(seed: int, count: int) -> Descent:
    """Return what so many descents into the deadlock of two locks come to, with the search never going on."""
    program = of(locked.deadlock01)
    strategy = DFS(seed)
    with Session(program) as session:
        for _ in range(count):
            strategy.descending = True
            strategy.descent.begin()
            session.run(strategy, program.detectors())
            strategy.descent.end()
    return strategy.descent


def test_descents_are_unbiased() -> None:
    """The mean of the products is the number of schedules, which an exhausted search counts.

    That holds of the first ones as of the last, which scatter less.
    """
    counted = DFS()
    explore(of(locked.deadlock01), counted, executions=None)
    assert counted.done

    products = [exp(each) for seed in range(3) for each in descents(seed, 100).found.logs[20:]]

    assert pytest.approx(sum(counted.finished), rel=0.3) == fmean(products)


def test_descents_learn() -> None:
    """Later descents scatter less: the search knows the positions it came through."""
    logs = [descents(seed, 100).found.logs for seed in range(3)]

    early, late = (
        fmean(abs(each - log(194)) for run in logs for each in run[part])
        for part in (slice(0, 20), slice(80, 100))
    )
    assert late < early / 2


def test_even_products_leave_the_interval_of_the_unseen() -> None:
    """Descents that all say the same are still only so many: the interval is some two times wide."""
    found = Descents()
    for _ in range(LEAST_DESCENTS - 1):
        found.add(log(100))
    assert None is found.estimate()

    found.add(log(100))
    said = found.estimate()

    assert said is not None
    assert pytest.approx(100) == said.mean
    assert said.low < 100 < said.high < 4 * said.low


def test_beyond_floating_point() -> None:
    """A tree too large for a float is infinite, not an error."""
    found = Descents()
    for each in range(10):
        found.add(1000.0 + each)

    said = found.estimate()

    assert said is not None
    assert (inf, inf) == (said.mean, said.high)
    assert "about inf" in str(said)


def test_what_remains() -> None:
    """What is done is taken off, and never leaves less than nothing."""
    assert Estimate(400.0, 0.0, 900.0, 9) == Estimate(500.0, 50.0, 1000.0, 9).less(100)


@pytest.mark.parametrize(
    ("number", "expected"),
    [(0.4, "0"), (999, "999"), (12_345, "12,300"), (3.21e7, "3.2e7"), (inf, "inf")],
)
def test_rounded(number: float, expected: str) -> None:
    """Estimates are shown with three digits, then two."""
    assert expected == rounded(number)


@pytest.mark.parametrize(("degrees", "expected"), [(7, 1.895), (20, 1.725), (60, 1.671)])
def test_quantile(degrees: int, expected: float) -> None:
    """The two-sided 90 % quantiles of Student's t, as in the tables."""
    assert pytest.approx(expected, rel=5e-3) == quantile(degrees)


def test_sum_of() -> None:
    """The sum is made without leaving the logarithms."""
    assert pytest.approx(1000 + log(3)) == sum_of([1000.0] * 3)


def test_search_says_what_remains(monkeypatch: pytest.MonkeyPatch) -> None:
    """A search that stops early says how much it leaves, with the interval; one that exhausts says nothing of it."""
    monkeypatch.setattr(dfs, "ESTIMATED_FROM", 20)
    monkeypatch.setattr(dfs, "PROBE_EVERY", 4)
    strategy = DFS(1)

    state = explore(BY_NAME["account"].program.at("sync"), strategy, executions=100)

    said = strategy.estimate
    assert said is not None
    assert said.low < 5331 - 80 < said.high
    assert state.worth.endswith(f"; {said} remain")
    assert f"{said} schedules left" == strategy.remaining()


def test_exhausted_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """Descents come beside the search, not instead of it: every schedule is run in its turn."""
    monkeypatch.setattr(dfs, "ESTIMATED_FROM", 20)
    monkeypatch.setattr(dfs, "PROBE_EVERY", 4)
    strategy = DFS()

    state = explore(of(zoo.abba_ordered), strategy, executions=None)

    assert Verdict.EXHAUSTED == state.verdict
    assert sum(strategy.finished) < state.executions
    assert "remain" not in state.worth
    alone = DFS()
    monkeypatch.setattr(dfs, "ESTIMATED_FROM", 1 << 30)
    explore(of(zoo.abba_ordered), alone, executions=None)
    assert alone.finished == strategy.finished


def test_bounded_search_is_estimated_as_bounded() -> None:
    """With a bound on preemptions descents keep to it."""
    program = of(locked.deadlock01)
    counted = explore(program, DFS(preemptions=1), executions=None)
    strategy = DFS(1, preemptions=1)
    with Session(program) as session:
        for _ in range(400):
            strategy.descending = True
            strategy.cost = 0
            strategy.descent.begin()
            session.run(strategy, program.detectors())
            strategy.descent.end()

    assert pytest.approx(counted.executions, rel=0.25) == fmean(
        map(exp, strategy.descent.found.logs)
    )


def test_large_steps_are_dealt_out_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more tasks are enabled than positions are kept for, nothing is learned, and nothing is biased."""
    monkeypatch.setattr("verify.strategies.descent.MOST_TASKS", 2)
    strategy = DFS(1)
    program = BY_NAME["account"].program.at("sync")
    with Session(program) as session:
        strategy.descending = True
        session.run(strategy, program.detectors())
        strategy.descent.end()

    assert strategy.descent.lost
    assert {} == strategy.descent.below
    assert 1 == len(strategy.descent.found.logs)


@pytest.mark.slow
def test_interval_covers() -> None:
    """Of one program and ten seeds the interval has the true number inside at least eight times."""
    program = of_code(bench.generated(3), "t:t")
    true = bench.size(program)
    assert true is not None

    inside = [bench.Pair("", true, bench.asked(program, seed)).inside for seed in range(10)]

    assert sum(inside) >= 8


def test_urw_fits_and_an_even_walk_does_not() -> None:
    """The measure that bench.statistics prints: URW draws evenly, an even pick at each step does not."""
    urw = statistics.fit(URW(11), 2, 2)
    walk = statistics.fit(RandomWalk(11, stay=0.0), 2, 2)

    assert (6, 6) == (urw.classes, urw.seen)
    assert urw.p > statistics.LEAST_P > walk.p


@pytest.mark.parametrize("planted", statistics.PLANTED[:3], ids=lambda planted: planted.name)
def test_pct_hits_planted_bugs(planted: statistics.Planted) -> None:
    """The lower confidence limit of PCT's hit rate is at least its bound."""
    rate = statistics.hit_rate(planted)

    assert rate.bound * rate.runs >= statistics.EXPECTED - 1e-9
    assert rate.least >= rate.bound
