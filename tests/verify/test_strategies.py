"""What the strategies promise: power where they claim it, and honesty about it."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from verify import PCT, RandomWalk, Settings, explore
from verify.explore import Verdict
from verify.program import Program, of

from . import zoo

STEPS_AHEAD = 12


def one_runs_far_ahead() -> None:
    """Fails when one task does all its steps before the other has done its first."""
    lock = threading.Lock()
    done = [0, 0]

    def work(me: int) -> None:
        for _ in range(STEPS_AHEAD):
            with lock:
                done[me] += 1
                assert done != [0, STEPS_AHEAD]

    zoo.together(lambda: work(0), lambda: work(1))


def depth_three() -> None:
    """Fails when the second task runs wholly between two sections of the first, and the third after it."""
    lock = threading.Lock()
    seen: list[str] = []

    def step(name: str) -> None:
        with lock:
            seen.append(name)

    def three() -> None:
        for name in "abc":
            step(name)

    zoo.together(three, lambda: step("x"))
    assert "".join(seen) != "abxc"


def quick(body: zoo.Program) -> Program:
    return replace(of(body), settings=Settings(max_steps=2000, fair_steps=2000))


@pytest.mark.parametrize("stay", [0.9, 0.97])
def test_run_lengths_reach_far_ahead(stay: float) -> None:
    """Long runs let a task get 12 sections ahead, which an even pick at each step all but never does."""
    found = explore(
        quick(one_runs_far_ahead), RandomWalk(1, stay=stay), executions=300, first_only=True
    )
    even = explore(quick(one_runs_far_ahead), RandomWalk(1, stay=0.0), executions=300)

    assert Verdict.FOUND == found.verdict
    assert even.failing < 3


def test_pct_bound_holds() -> None:
    """In plain mode a bug of depth 2 turns up at least as often as 1/(n*k^(d-1)) says.

    With n = 3, k = 16 and d = 2 the bound is 1/48: of 2,000 executions at least 41 fail in
    expectation, and fewer than 20 has a probability below 1e-4.
    """
    state = explore(quick(zoo.abba), PCT(7, tasks=3, choices=16, depth=2), executions=2000)

    assert "probability >= 1/(n*k^(d-1)) = 0.0208" in state.worth
    assert state.failing >= 20


def two_steps_between() -> None:
    """Fails when the second task's section falls between two of the first: depth 2."""
    lock = threading.Lock()
    seen: list[str] = []

    def step(name: str) -> None:
        with lock:
            seen.append(name)

    def two() -> None:
        step("a")
        step("b")

    zoo.together(two, lambda: step("x"))
    assert "".join(seen) != "axb"


@pytest.mark.parametrize(
    ("body", "choices"), [(zoo.abba, 16), (two_steps_between, 14)], ids=["abba", "between"]
)
def test_pct_hit_rate(body: zoo.Program, choices: int) -> None:
    """The rate at which plain mode hits a planted bug of depth 2 is at least its bound, by the lower 95 % limit.

    Runs are as many as make the bound expect 30 hits.
    """
    bound = 1 / (3 * choices)
    runs = 30 * 3 * choices

    state = explore(quick(body), PCT(21, tasks=3, choices=choices, depth=2), executions=runs)

    rate = state.failing / runs
    assert "void" not in state.worth
    assert rate - 1.645 * (rate * (1 - rate) / runs) ** 0.5 >= bound


def starving() -> None:
    """One task looks again and again, without giving way, for what another does."""
    lock = threading.Lock()
    done: list[int] = []

    def look() -> None:
        while not done:
            with lock:
                pass

    def do() -> None:
        with lock:
            done.append(1)

    zoo.together(look, do)


def test_pct_suffix_is_fair() -> None:
    """Where priorities starve the one waited for, an even walk takes over: no execution reaches the step bound."""
    state = explore(quick(starving), PCT(2), executions=60)

    assert Verdict.NOT_FOUND == state.verdict
    assert state.steps < 60 * 1500


def test_pct_bound_is_void_when_outgrown() -> None:
    """A run with more tasks or choices than plain mode was told makes the claim void, and it says so."""
    state = explore(quick(zoo.abba_ordered), PCT(1, tasks=2, choices=3, depth=2), executions=50)

    assert "bound is void" in state.worth
    assert "n=2, k=3" in state.worth


def test_learning_pct_calls_its_bound_nominal() -> None:
    """With depth drawn and k learnt nothing is promised."""
    assert "nominal" in explore(quick(zoo.abba_ordered), PCT(1), executions=50).worth


@pytest.mark.parametrize("bad", [{"tasks": 2}, {"tasks": 2, "choices": 0, "depth": 1}])
def test_pct_refuses_half_a_bound(bad: dict[str, int]) -> None:
    """Plain mode wants all of n, k and d, each at least one."""
    with pytest.raises(ValueError, match="PCT"):
        PCT(0, **bad)


def test_pct_finds_depth_three() -> None:
    """Drawn depths reach a bug that needs two change points."""
    assert (
        Verdict.FOUND
        == explore(quick(depth_three), PCT(3), executions=2000, first_only=True).verdict
    )


@pytest.mark.parametrize("strategy", [RandomWalk, PCT])
def test_same_seed_same_search(strategy: type[RandomWalk | PCT]) -> None:
    """A seed fixes the whole exploration: executions, steps and which of them fail."""
    one = explore(quick(zoo.abba), strategy(5), executions=200)
    other = explore(quick(zoo.abba), strategy(5), executions=200)
    third = explore(quick(zoo.abba), strategy(6), executions=200)

    assert (one.steps, one.failing) == (other.steps, other.failing)
    assert [g.choices for g in one.groups.values()] == [g.choices for g in other.groups.values()]
    assert [g.choices for g in one.groups.values()] != [g.choices for g in third.groups.values()]
