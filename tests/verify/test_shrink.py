"""Shrinking: the simplest schedule that fails in the same way, within a budget, and what may be said of it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.programs import BY_NAME
from tests.verify import shared, zoo
from traces import token as tokens
from verify import RandomWalk, UsageError, draw, explore, replay
from verify.builds import EVERY, FREE
from verify.program import of
from verify.session import Session
from verify.shrink.budget import Budget, SpentError
from verify.shrink.shrinking import Shrinking
from verify.shrink.subsets import smallest
from verify.shrink.trials import Trials
from verify.shrink.turns import Turn, Turns
from verify.strategies.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Iterator

    from traces.token import Token
    from verify.explore import Group
    from verify.program import Program


def found(program: Program, seed: int = 1) -> Group:
    """Return the first failure that a random walk meets."""
    state = explore(program, RandomWalk(seed), executions=3000, first_only=True)
    return next(iter(state.groups.values()))


@contextmanager
def shrinking(program: Program, group: Group, executions: int = 1000) -> Iterator[Shrinking]:
    """Begin with what was found, under a budget of executions alone."""
    stock = group.build == EVERY and "+" in group.granularity
    with Session(program) as session, session.at(group.granularity, labelling=stock):
        budget = Budget(executions, 1000.0)
        begun = Shrinking.begin(Trials(session, group.finding, budget, stock=stock), group.choices)
        assert begun is not None
        yield begun


# --- subsets and budgets


@given(st.sets(st.integers(0, 30)), st.integers(0, 31))
def test_smallest(needed: set[int], size: int) -> None:
    """Of a list all of whose needed items must stay, exactly those stay, in order."""
    items = list(range(max(size, max(needed, default=-1) + 1)))

    assert (sorted(needed), True) == smallest(items, lambda kept: needed <= set(kept))


def test_smallest_within_a_budget() -> None:
    """Where the budget ends, what was reached is returned, and no claim is made."""
    budget = Budget(3, 1000.0)

    def holds(kept: list[int]) -> bool:
        budget.take()
        return 7 in kept

    assert ([4, 5, 6, 7], False) == smallest(range(8), holds)


def test_part_of_a_budget() -> None:
    """What a part takes is taken of the whole, and a part ends before the whole does."""
    whole = Budget(10, 1000.0)
    part = whole.part(0.5)
    for _ in range(5):
        part.take()

    with pytest.raises(SpentError):
        part.take()

    assert (5, False) == (whole.used, whole.spent)


def test_no_seconds() -> None:
    """A budget without seconds is spent."""
    with pytest.raises(SpentError):
        Budget(10, 0.0).take()


# --- turns


def test_turn_of_a_task_to_be_made() -> None:
    """A turn of a task that is still to be made waits for it; one of a task that cannot run is over."""
    ran: list[str] = []

    def body() -> None:
        lock = threading.Lock()

        def one(name: str) -> None:
            with lock:
                ran.append(name)

        threads = [threading.Thread(target=one, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    program = of(body)
    with Session(program) as session:
        for turns in ([], [Turn("main/2", None)], [Turn("main/2", 2), Turn("main/9", 1)]):
            session.run(Turns(turns), program.detectors())

    assert list("abbaba") == ran


# --- programs


@pytest.mark.parametrize(
    ("name", "preemptions"),
    [
        ("deadlock01", 1),
        ("account", 0),
        ("bluetooth_driver", 1),
        ("stringbuffer", 2),
        ("twostage", 1),
        ("reorder_3", 1),
        ("wronglock_3", 1),
        ("token_ring", 0),
        ("philosophers_3", 1),
        ("work_steal_queue", 2),
    ],
)
@pytest.mark.slow
def test_fewest(name: str, preemptions: int) -> None:
    """Known minima are reached, and said to be minima; the schedule replays and fails in the same way."""
    program = BY_NAME[name].program
    state = explore(program, RandomWalk(1), executions=3000, first_only=True, shrink=1000.0)
    (group,) = state.groups.values()
    assert group.shrunk is not None
    assert group.trace is not None

    assert (preemptions, True) == (group.shrunk.preemptions, group.shrunk.fewest)
    assert preemptions <= group.shrunk.found_preemptions
    run = replay(program, token_of(group))[0]
    assert run.identical
    assert run.finding is not None
    assert group.finding.key == run.finding.key


def token_of(group: Group) -> Token:
    return tokens.decode(group.token)


@pytest.mark.slow
def test_same_way() -> None:
    """Of two failures the one found is shrunk, not the one that is easier to come by."""
    program = of(two_ways)
    state = explore(program, RandomWalk(3), executions=400)
    assert {"deadlock", "uncaught exception"} == {key[0] for key in state.groups}
    for group in state.groups.values():
        with shrinking(program, group) as begun:
            begun.passes(begun.trials.budget)
            begun.fewer_preemptions(begun.trials.budget)
            best = begun.best

        program_at = program.at(group.granularity)
        with Session(program_at) as session:
            outcome = session.run(Replay(best.choices), program.detectors())
        assert outcome.finding is not None
        assert group.finding.key == outcome.finding.key
        assert (1, True) == (best.cost.preemptions, begun.fewest)


def two_ways() -> None:
    """Locks in opposite orders, and a check that fails if the threads come close."""
    first, second = threading.Lock(), threading.Lock()
    inside: list[int] = []

    def one() -> None:
        with first:
            inside.append(1)
            with second:
                inside.append(2)

    def other() -> None:
        with second, first:
            assert len(inside) in {0, 2}

    threads = [threading.Thread(target=one), threading.Thread(target=other)]
    watch = threading.Thread(target=lambda: check_count(inside))
    for thread in (*threads, watch):
        thread.start()
    for thread in (*threads, watch):
        thread.join()


def check_count(inside: list[int]) -> None:
    assert threading.Lock().acquire()
    assert len(inside) != 1


def test_not_the_failure() -> None:
    """A schedule that does not fail again is not shrunk."""
    program = of(zoo.abba)
    group = found(program)
    with Session(program) as session, session.at(group.granularity):
        trials = Trials(session, group.finding, Budget(10, 1000.0))

        assert None is Shrinking.begin(trials, ())


def test_no_budget_no_claim() -> None:
    """Where the budget ends at once the schedule found stands, and is not called minimal."""
    program = BY_NAME["stringbuffer"].program
    group = found(program)
    with shrinking(program, group, executions=1) as begun:
        begun.passes(begun.trials.budget)
        begun.fewer_preemptions(begun.trials.budget)

        assert (group.choices, False) == (begun.best.choices, begun.fewest)


def test_values() -> None:
    """Values that a program draws are 0 where that changes nothing, and stay where they matter."""

    def body() -> None:
        values = [draw(50) for _ in range(4)]
        assert values[2] < 20

    program = of(body)
    group = found(program)
    with shrinking(program, group) as begun:
        begun.passes(begun.trials.budget)

        assert (0, 0, 0) == (*begun.best.values[:2], begun.best.values[3])
        assert begun.best.values[2] >= 20


@pytest.mark.slow
def test_stock_builds() -> None:
    """A failure that every build can show is still one when it is shrunk; a schedule of others stays theirs."""
    stock = explore(
        BY_NAME["bluetooth_driver"].program,
        RandomWalk(1),
        executions=2000,
        first_only=True,
        shrink=9.0,
    )
    free = explore(of(shared.attribute).at("access"), RandomWalk(1), executions=400, shrink=9.0)

    for state, build in ((stock, EVERY), (free, FREE)):
        for group in state.groups.values():
            assert group.build.startswith(build)
            assert group.shrunk is not None
            again = explore(
                state.program.at(group.granularity), AsFound(group.choices), executions=1
            )
            (second,) = again.groups.values()
            assert second.build.startswith(build)


class AsFound(Replay):
    """A replay that a search can report on."""

    seed = 0

    def worth(self, executions: int) -> str:
        """Say nothing."""
        return ""


def test_candidates_that_leave_the_test() -> None:
    """A candidate that skips the test, or cannot use its arguments, is none; the find stands."""

    def body() -> None:
        zoo.abba()
        raise UsageError("without a deadlock there is nothing to test")

    program = of(zoo.abba)
    group = found(program)
    with shrinking(replace(program, body=body), group) as begun:
        assert None is begun.trials.run(Turns([]))
        assert begun.trials.last is not None
        begun.passes(begun.trials.budget)
        begun.fewer_preemptions(begun.trials.budget)

        assert (1, True) == (begun.best.cost.preemptions, begun.fewest)


def test_hardly_any_time() -> None:
    """Where the seconds do not reach for one execution the find is shown as it was found."""
    state = explore(of(zoo.abba), RandomWalk(1), executions=50, shrink=1e-9)
    (group,) = state.groups.values()

    assert (None, None) == (group.shrunk, group.explanation)
    assert group.token
