"""What a pass is worth, as numbers: against exact values and against what random draws show."""

from __future__ import annotations

from random import Random

import pytest

from verify.worth import Tally, missed, pct_chance, runs_for


def tally_of(weights: list[float], runs: int, seed: int) -> tuple[Tally, list[float]]:
    """Return a tally of `runs` draws, and the true chance of a new class after each."""
    rng = Random(seed)
    tally, unseen, left = Tally(), [], dict(enumerate(weights))
    for drawn in rng.choices(range(len(weights)), weights, k=runs):
        tally.see(drawn)
        left.pop(drawn, None)
        unseen.append(sum(left.values()) / sum(weights))
    return tally, unseen


def test_pct_chance() -> None:
    """One run finds a bug of depth d with at least 1/(n * k**(d-1)); depth 1 costs the tasks alone."""
    assert pytest.approx([1 / 3, 1 / 60, 1 / 1200]) == [
        pct_chance(3, 20, depth) for depth in (1, 2, 3)
    ]


@pytest.mark.parametrize(
    ("chance", "confidence", "runs"), [(0.5, 0.95, 5), (1 / 60, 0.95, 179), (1.0, 0.9, 1)]
)
def test_runs_for(chance: float, confidence: float, runs: int) -> None:
    """The number of runs is the least that reaches the confidence."""
    assert runs == runs_for(chance, confidence)
    assert missed(chance, runs) <= 1 - confidence
    assert runs == 1 or missed(chance, runs - 1) > 1 - confidence


def test_missed_without_runs() -> None:
    """No run misses for certain, and a certain hit is missed by none."""
    assert [1.0, 1.0, 0.0] == [missed(0.5, 0), missed(1.0, 0), missed(1.0, 3)]


def test_good_turing() -> None:
    """The estimate is the share of runs whose class came once."""
    tally = Tally()
    for seen in (1, 2, 1, 3, 4):
        tally.see(seen)

    assert (4, 0.6) == (tally.classes, tally.rate)


def test_nothing_seen() -> None:
    """Without runs everything is unseen."""
    assert (1.0, 1.0) == (Tally().rate, Tally().limit())


@pytest.mark.parametrize(
    "weights", [[1.0] * 40, [2.0**-i for i in range(30)], [0.99] + [0.0005] * 20]
)
def test_limit_holds_at_every_number_of_runs(weights: list[float]) -> None:
    """In all but a few of 60 searches the true chance is below the 80 % limit after each of 200 runs."""
    broken = 0
    for seed in range(60):
        _, unseen = tally_of(weights, 200, seed)
        rng, tally = Random(seed), Tally()
        for drawn, truth in zip(
            rng.choices(range(len(weights)), weights, k=200), unseen, strict=True
        ):
            tally.see(drawn)
            if truth > tally.limit(0.8):
                broken += 1
                break

    assert broken <= 12


def test_limit_is_worth_something() -> None:
    """Where a thousand runs show three classes and no more, the limit is below 1.1 %, at 99 % below 1.3 %."""
    tally, _ = tally_of([1.0, 1.0, 1.0], 1000, 0)

    assert 3 / 1000 < tally.limit() < 0.011
    assert tally.limit() < tally.limit(0.99) < 0.013


def test_limit_follows_the_estimate() -> None:
    """Where most runs are of new classes the limit says so."""
    tally, unseen = tally_of([1.0] * 3000, 1000, 0)

    assert tally.rate <= tally.limit()
    assert unseen[-1] <= tally.limit() < unseen[-1] + 0.3


def test_full_tally_counts_no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its bound a tally stands still rather than grow."""
    monkeypatch.setattr("verify.worth.MOST_CLASSES", 3)
    tally = Tally()
    for seen in range(10):
        tally.see(seen)

    assert (3, 3) == (tally.runs, tally.classes)
