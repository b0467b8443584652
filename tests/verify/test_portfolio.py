"""The portfolio: everybody gets a turn, what pays gets more, and a seed fixes it all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bench.programs import BY_NAME, locked
from verify import Portfolio, Verdict, explore
from verify.program import of
from verify.strategies.constraints import Event

from . import zoo
from .outcomes import assert_found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import T


class First:
    """Takes the first enabled task; after `most` executions it has nothing left."""

    def __init__(self, most: int = 1 << 30) -> None:
        self.most = most

    def new_execution(self) -> bool:
        """Count down."""
        self.most -= 1
        return self.most >= 0

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Take the first."""
        return enabled[0]

    def draw(self, bound: int) -> int:
        """Take the least."""
        return 0


def runs_of(portfolio: Portfolio, executions: int, *, fresh: str = "") -> dict[str, int]:
    """Return who ran how often, where only `fresh` (all if not given) runs schedules not seen before."""
    for member in portfolio.members:
        if not getattr(member.strategy, "done", False):
            member.strategy = First()
    for number in range(executions):
        assert portfolio.new_execution()
        new = not fresh or portfolio.member.name == fresh
        portfolio.ended((number,) if new else (0,), news=False, cut=False)
    return {member.name: member.runs for member in portfolio.members}


@pytest.mark.parametrize(
    "name",
    [
        "account",
        "bluetooth_driver",
        "deadlock01",
        "philosophers_3",
        "reorder_5",
        "stack",
        "twostage",
        "wronglock",
    ],
)
def test_found(name: str) -> None:
    """The planted bug is found, and its schedule runs into it again."""
    assert_found(BY_NAME[name].program, Portfolio(1), 2000)


@pytest.mark.parametrize(
    "name", ["bluetooth_fixed", "spin_good", "philosophers_try", "wronglock_fixed"]
)
def test_not_blamed(name: str) -> None:
    """No schedule of a corrected program is reported."""
    state = explore(BY_NAME[name].program, Portfolio(2), executions=60)

    assert [] == [group.finding.message for group in state.groups.values()]


def test_small_programs_are_exhausted() -> None:
    """On a small program the others repeat themselves, depth-first search takes over and comes to its end."""
    state = explore(of(locked.deadlock01_ordered), Portfolio(3), executions=1000)

    assert Verdict.EXHAUSTED == state.verdict
    assert state.worth.startswith("every schedule was run")


def test_same_seed_same_search() -> None:
    """A seed fixes the whole exploration."""
    one, other, third = (
        explore(of(zoo.philosophers), Portfolio(seed), executions=80) for seed in (5, 5, 6)
    )

    assert (one.steps, one.worth) == (other.steps, other.worth)
    assert [g.choices for g in one.groups.values()] == [g.choices for g in other.groups.values()]
    assert [g.choices for g in one.groups.values()] != [g.choices for g in third.groups.values()]


def test_first_shares() -> None:
    """While all pay alike, executions are dealt out by the first shares."""
    shares = {"pct": 9, "urw": 44, "reads_from": 75, "surw": 46, "pos": 8, "dfs": 14, "random": 4}

    assert shares == runs_of(Portfolio(0), 200)


@pytest.mark.parametrize(("events", "least", "most"), [(3, 85, 110), (30, 30, 55)])
def test_looks_of_the_program(events: int, least: int, most: int) -> None:
    """Where few operations on shared objects can be constrained reads-from fuzzing gets more, else less."""
    portfolio = Portfolio(0)
    for number in range(events):
        portfolio.reads_from.readers[Event("read", f"x{number}", 0)] = None

    assert least < runs_of(portfolio, 200)["reads_from"] < most


def test_starters() -> None:
    """The first four members each have a turn before anybody has a second."""
    portfolio = Portfolio(0)
    names = []
    for number in range(4):
        assert portfolio.new_execution()
        names.append(portfolio.member.name)
        portfolio.ended((number,), news=False, cut=False)

    assert ["pct", "urw", "reads_from", "surw"] == names


def test_repeating_costs_shares() -> None:
    """A member that alone runs what was not run before gets most of the budget, the others keep a little."""
    runs = runs_of(Portfolio(0), 1000, fresh="dfs")

    assert runs["dfs"] > 300
    assert min(runs.values()) > 5


def test_news_raises_shares() -> None:
    """Who shows a kind of failure first gets more executions."""
    portfolio = Portfolio(0)
    portfolio.new_execution()
    name = portfolio.member.name
    portfolio.ended((1,), news=True, cut=False)

    assert runs_of(portfolio, 200)[name] > runs_of(Portfolio(0), 200)[name]


def test_depth_first_that_left_something_out() -> None:
    """Where depth-first search reached the step bound its end is no end: the others go on."""
    portfolio = Portfolio(0)
    portfolio.depth_first.ended((), news=False, cut=True)
    portfolio.depth_first.done = True

    runs = runs_of(portfolio, 50)

    assert "dfs" not in runs
    assert 50 == sum(runs.values())


class Told(First):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[tuple[int, ...]] = []

    def ended(self, choices: tuple[int, ...], *, news: bool, cut: bool) -> None:
        """Note an execution's choices."""
        assert not news
        assert not cut
        self.told.append(choices)


def test_every_member_is_told() -> None:
    """Each member hears of the ends of its own executions, whichever strategy it is."""
    portfolio = Portfolio(0)
    told = [Told() for _ in portfolio.members]
    for member, strategy in zip(portfolio.members, told, strict=True):
        member.strategy = strategy
    for number in range(60):
        assert portfolio.new_execution()
        portfolio.ended((number,), news=False, cut=False)

    assert [member.runs for member in portfolio.members] == [len(each.told) for each in told]


def test_nobody_left() -> None:
    """When no member has anything left the search ends, without a claim."""
    portfolio = Portfolio(0)
    for member in portfolio.members:
        member.strategy = First(0)

    assert not portfolio.new_execution()
    assert not portfolio.complete
