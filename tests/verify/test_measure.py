"""What a search counts on the way, and goals that end it: found numbers against known ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import verify
from verify import program as programs
from verify import registry, report
from verify.config import Config
from verify.explore import Verdict, explore
from verify.goals import MOST_EXECUTIONS, Goal, settle
from verify.measure import ALL, EVERY, Measure
from verify.strategies.pct import PCT
from verify.strategies.pct_to_bound import MEASURED, PCTToBound
from verify.worth import pct_chance, runs_for

from . import orders, zoo

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.explore import Exploration


def searched(
    body: Callable[[], object], strategy: str, executions: int, measure: Measure
) -> Exploration:
    """Return a small search at the granularity of synchronisation."""
    return explore(
        programs.of(body), registry.make(strategy, 0), executions=executions, measure=measure
    )


@pytest.mark.parametrize("strategy", ["random", "pos"])
def test_classes_of_independent_runs(strategy: str) -> None:
    """A program of two classes shows two, and the chance of a third is small and says with what confidence."""
    measure = Measure()
    searched(orders.one_lock, strategy, 400, measure)
    (said, of) = measure.worth(strategy)

    assert 2 == measure.tallies[strategy].classes
    assert "2 classes of executions in 400 runs looked at" == said
    assert measure.limit < 0.02
    assert f"at most {100 * measure.limit:.3g} % with 95 % confidence" in of


def test_classes_that_are_not_all_seen() -> None:
    """A program of 1,680 classes leaves a large chance of something new."""
    measure = Measure()
    searched(orders.many_orders, "random", 200, measure)
    tally = measure.tallies["random"]

    assert tally.rate > 0.3
    assert tally.rate < tally.limit() < 1.0


@pytest.mark.parametrize("strategy", ["dfs", "urw", "surw", "pct"])
def test_others_give_no_number(strategy: str) -> None:
    """Strategies that enumerate or learn draw no runs independently, and that is said in place of a number."""
    measure = Measure()
    searched(orders.one_lock, strategy, 30, measure)

    assert {} == measure.tallies
    assert measure.worth(strategy)[0].endswith(
        f"{strategy} draws no runs independently: no estimate of those not seen"
    )


def test_portfolio_counts_its_members_apart() -> None:
    """Of a portfolio's runs those of POS and of the random walk are counted, each for itself, and no others."""
    measure = Measure()
    state = searched(orders.many_orders, "portfolio", 300, measure)

    assert {"pos", "random"} == set(measure.tallies)
    assert sum(tally.runs for tally in measure.tallies.values()) < 150 < state.executions
    assert "PCT executions" in state.worth


def test_which_runs_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first independent runs are, then one in ten; of other runs one in ten; with `whole` all."""
    monkeypatch.setattr("verify.measure.ALL", 50)
    counts = []
    for strategy, whole in (("random", False), ("urw", False), ("urw", True)):
        measure = Measure(whole=whole)
        searched(orders.one_lock, strategy, 100, measure)
        counts.append(measure.looked)

    assert [50 + 50 // EVERY, 100 // EVERY, 100] == counts
    assert ALL > 100


def test_measuring_changes_nothing() -> None:
    """A search runs the same executions whether they are looked at or not."""
    program = programs.of(zoo.abba)
    found = [
        explore(program, registry.make("portfolio", 3), executions=60, measure=measure).groups
        for measure in (None, Measure(whole=True))
    ]

    assert [(g.first, g.count, g.choices) for g in found[0].values()] == [
        (g.first, g.count, g.choices) for g in found[1].values()
    ]


def test_learned_points_count_anew() -> None:
    """When accesses become scheduling points, what was counted before does not count."""
    measure = Measure(whole=True)
    from . import shared

    program = programs.of(shared.attribute).at("auto")
    state = explore(program, registry.make("pos", 0), executions=30, measure=measure)

    assert "Counter.n" in state.granularity
    assert measure.looked < 30


def test_long_executions_are_all_different(monkeypatch: pytest.MonkeyPatch) -> None:
    """An execution too long to name counts as new, which only raises the chance."""
    monkeypatch.setattr("verify.measure.LONG", 2)
    measure = Measure()
    searched(orders.one_lock, "random", 20, measure)

    assert (20, 1.0) == (len(measure.distinct), measure.tallies["random"].rate)


def test_goal_of_unseen() -> None:
    """The search ends when the limit is reached, and says so."""
    measure = Measure(unseen=0.05)
    state = searched(orders.one_lock, "pos", 10_000, measure)

    assert (Verdict.NOT_FOUND, "") == (state.verdict, state.short)
    assert measure.limit <= 0.05
    assert state.executions < 1_000
    assert "what was asked for is reached; that is no proof" in report.summary(state)


def test_goal_not_reached_is_inconclusive() -> None:
    """A budget that ends first is no pass: exit code 4, with the limit that was reached."""
    state = searched(orders.many_orders, "pos", 50, Measure(unseen=0.01, confidence=0.9))

    assert (Verdict.INCONCLUSIVE, 4) == (state.verdict, state.exit_code)
    assert "asked for at most 1 % unseen with 90 % confidence, and the runs made show at most" in (
        report.in_one_line(state)
    )


def test_goal_without_independent_runs() -> None:
    """A strategy whose runs say nothing about it is named, with those that do."""
    state = searched(orders.many_orders, "urw", 20, Measure(unseen=0.5))

    assert "urw draws no runs independently" in (state.short or "")
    assert "strategy pos or random" in (state.short or "")


def test_exhausted_reaches_every_goal() -> None:
    """Where every schedule was run nothing is unseen."""
    state = searched(orders.one_lock, "dfs", 10_000, Measure(unseen=0.001))

    assert (Verdict.EXHAUSTED, None) == (state.verdict, state.short)


def test_pct_as_often_as_its_bound_asks() -> None:
    """After the measurement exactly the runs follow that the bound asks for, with n and k as measured."""
    search = PCTToBound(0, depth=2, confidence=0.95)
    state = explore(programs.of(orders.one_lock), search, executions=10_000)

    assert search.runs == runs_for(pct_chance(search.tasks, search.choices, 2), 0.95)
    assert state.executions >= MEASURED + search.runs
    assert (3, Verdict.NOT_FOUND, "") == (search.tasks, state.verdict, state.short)
    assert f"{search.runs:,} PCT runs miss a bug of depth 2 with probability <= 0.0" in state.worth


def test_pct_bound_not_reached() -> None:
    """A budget below what the bound asks for is inconclusive, and says how many runs it takes."""
    search = PCTToBound(0, depth=3, confidence=0.99)
    state = explore(programs.of(orders.many_orders), search, executions=150)

    assert Verdict.INCONCLUSIVE == state.verdict
    assert f"that takes {search.needed:,} PCT runs" in (state.short or "")
    assert f"{search.runs:,} of {search.needed:,} PCT runs" == search.remaining()


def test_pct_bound_is_measured_again_where_runs_grow() -> None:
    """A run with more choices than any before makes the runs count from the first again."""
    search = PCTToBound(0, depth=2, confidence=0.5)
    for _ in range(MEASURED):
        search.new_execution()
        search.inner.most_tasks, search.inner.count = 2, 3
        search.ended((), news=False, cut=False)
    for count, runs in ((3, 1), (3, 2), (4, 0), (4, 1)):
        search.new_execution()
        search.inner.count = count
        search.ended((), news=False, cut=False)
        assert runs == search.runs
    assert (2, 4) == (search.tasks, search.choices)


def test_pct_runs_that_are_cut_do_not_count() -> None:
    """A run that reaches the step bound is no evidence, and is said."""
    search = PCTToBound(0, depth=1, confidence=0.5)
    for _ in range(MEASURED + 5):
        search.new_execution()
        search.ended((), news=False, cut=True)

    assert (0, True) == (search.runs, "105 runs reached the step bound" in search.short)


def test_learning_pct_says_what_is_nominal() -> None:
    """With the depth drawn the runs of each depth are weighed apart, and the bound is called nominal."""
    search = PCT(0)
    explore(programs.of(orders.one_lock), search, executions=100)

    assert 100 == sum(search.depths.values())
    assert "is nominal; by it they miss a bug with" in search.worth(100)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"confidence": 0.9}, "confidence 0.9 in what"),
        ({"confidence": 1.0, "bug_depth": 2}, "confidence is 1.0; give a number between 0 and 1"),
        ({"unseen": 0}, "unseen is 0; give a number between 0 and 1"),
        ({"unseen": True}, "unseen is True"),
        ({"bug_depth": 0}, "bug depth is 0; give a whole number from 1"),
        ({"bug_depth": 2, "unseen": 0.1}, "ask for one of them"),
    ],
)
def test_goals_that_cannot_be(given: dict[str, float], said: str) -> None:
    """A goal of wrong numbers is refused before anything runs."""
    with pytest.raises(verify.UsageError) as caught:
        verify.check(zoo.abba, **given)  # type: ignore[arg-type] # on purpose

    assert said in str(caught.value)


def test_bug_depth_needs_pct() -> None:
    """Another strategy has no such bound."""
    with pytest.raises(verify.UsageError, match="PCT's bound, which urw does not have"):
        verify.check(zoo.abba, strategy="urw", bug_depth=2)


def test_goal_names_its_strategy() -> None:
    """PCT for a depth, POS for what is unseen, else the default; all within a million executions."""
    goals = [Goal(bug_depth=2), Goal(unseen=0.1), Goal()]

    assert ["pct", "pos", "portfolio"] == [goal.searcher(None, 0).name for goal in goals]
    assert [MOST_EXECUTIONS, MOST_EXECUTIONS, 7] == [
        goal.executions(None, None, 7) for goal in goals
    ]


def test_check_that_falls_short() -> None:
    """`verify.check` raises where the goal is not reached, and returns where it is."""
    with pytest.raises(verify.CheckInconclusive, match=r"asked for at most 0\.1 % unseen"):
        verify.check(orders.one_lock, unseen=0.001, executions=20)

    assert Verdict.NOT_FOUND == verify.check(orders.one_lock, bug_depth=1, confidence=0.9).verdict


def test_nearest_budget_replaces_all() -> None:
    """A budget given nearer replaces goals further away; a goal does not take a strategy from further away."""
    near, far = Config(executions=5), Config(unseen=0.1, strategy="pos")
    goal = Config(bug_depth=2)

    assert (5, False, "pos") == (
        settle(near, far).executions,
        settle(near, far).goal.asked,
        settle(near, far).strategy,
    )
    assert (2, None) == (settle(goal, far).goal.bug_depth, settle(goal, far).strategy)
    assert (0.1, "pos") == (settle(Config(), far).goal.unseen, settle(Config(), far).strategy)
