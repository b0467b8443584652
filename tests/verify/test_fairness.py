"""Executions that do not end: the fair scheduler, the lasso, and what is said of whom."""

from __future__ import annotations

import argparse
import threading
import time
from array import array
from collections import deque
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from bench.programs import liveness
from verify import DFS, PCT, RandomWalk, Settings, Verdict, cli, explore, report
from verify.fairness import Relation
from verify.program import of_code
from verify.runtime.fair import period
from verify.runtime.state import Walk, changed
from verify.runtime.task import Task
from verify.strategies.fair import Fair

from . import zoo

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from verify import Exploration
    from verify.abc import T


def looks_without_giving_way() -> None:
    told = threading.Event()

    def look() -> None:
        while not told.is_set():
            pass

    zoo.together(look, told.set)


def looks_and_gives_way() -> None:
    told = threading.Event()

    def look() -> None:
        while not told.is_set():
            time.sleep(0)

    zoo.together(look, told.set)


def retries_for_ever() -> None:
    """Each takes its own fork and gives it back as the other's is never free."""
    forks = [threading.Lock(), threading.Lock(), threading.Lock()]
    forks[2].acquire()

    def dine(seat: int) -> None:
        while True:
            with forks[seat]:
                if forks[2].acquire(blocking=False):
                    return
            time.sleep(0)

    zoo.together(lambda: dine(0), lambda: dine(1))


def retries_until_free() -> None:
    forks = [threading.Lock(), threading.Lock(), threading.Lock()]
    forks[2].acquire()

    def dine(seat: int) -> None:
        while True:
            with forks[seat]:
                if forks[2].acquire(blocking=False):
                    forks[2].release()
                    return
            time.sleep(0)

    zoo.together(lambda: dine(0), lambda: dine(1), forks[2].release)


def is_slow() -> None:
    """Does its work twice as long as the step bound."""
    lock = threading.Lock()

    def work() -> None:
        for _ in range(250):
            with lock:
                pass

    zoo.together(work, work)


def polls_for_what_comes_late() -> None:
    """Polls a hundred times, each round like the one before, until another one's sleep is over."""
    told = threading.Event()

    def look() -> None:
        while not told.is_set():
            time.sleep(0.01)

    def tell() -> None:
        time.sleep(4)
        told.set()

    zoo.together(look, tell)


def counts_and_waits() -> None:
    told = threading.Event()

    def look() -> None:
        rounds = 0
        while not told.is_set():
            rounds += 1
            time.sleep(0.01)

    zoo.together(look)


def spin_noyield() -> None:
    """The sample of the benchmark programs, where its field is known to be shared."""
    liveness.spin_noyield()


def run(body: zoo.Program, steps: int = 300, executions: int = 1) -> Exploration:
    settings = Settings(max_steps=steps, fair_steps=steps)
    program = replace(of_code(body, "t:t", ("bench.programs",)), settings=settings)
    if body is spin_noyield:
        program = program.at("auto+State.first")
    return explore(program, DFS(), executions=executions)


@pytest.mark.parametrize("body", [zoo.polling_for_ever, retries_for_ever, liveness.spin_never])
def test_livelock(body: zoo.Program) -> None:
    """What goes round for ever is found, and held on OS threads."""
    state = run(body)

    (group,) = state.groups.values()
    assert (Verdict.FOUND, "livelock") == (state.verdict, group.finding.cause)
    assert {} == state.notes


@pytest.mark.parametrize("body", [looks_without_giving_way, spin_noyield])
def test_good_samaritan(body: zoo.Program) -> None:
    """A task that goes round without giving way is noted; the execution goes on to its end, and passes."""
    state = run(body)

    (note,) = state.notes.values()
    assert (Verdict.NOT_FOUND, "good-samaritan violation") == (state.verdict, note.finding.cause)
    assert state.steps < 1200


def test_good_samaritan_that_never_ends() -> None:
    """Two that spin without giving way, for what nobody does, are a livelock once turns do not help either."""

    def body() -> None:
        told = threading.Event()

        def look() -> None:
            while not told.is_set():
                pass

        zoo.together(look, look)

    state = run(body)

    assert ["livelock"] == [group.finding.cause for group in state.groups.values()]


@pytest.mark.parametrize(
    "body", [looks_and_gives_way, retries_until_free, is_slow, polls_for_what_comes_late]
)
def test_not_blamed(body: zoo.Program) -> None:
    """The corrected twins, and programs that are only slow, are not."""
    state = run(body)

    assert ({}, {}) == (state.groups, state.notes)


def test_lasso_is_printed() -> None:
    """The verdict shows how many steps lead to the circle, each step of it with its site, and who is left out."""
    state = run(looks_without_giving_way)
    (group,) = state.notes.values()

    shown = report.summary(state)
    for line in group.finding.details:
        assert line in shown
    stem, step, same = group.finding.details
    assert "stem: 601 steps; circle of 1:" == stem
    assert step.startswith(
        "  Thread-1 (look): Event.is_set main:Event#1 at tests/verify/test_fairness.py:"
    )
    assert step.endswith("look")
    assert "every variable that can be seen was as before" in same
    assert "while Thread-2 (set) could go on" in group.finding.message
    assert ("main/1",) == group.finding.culprits


def test_change_is_no_proof() -> None:
    """Where a variable changes in each round the verdict is inconclusive, and names it; the search goes on."""
    state = run(counts_and_waits, executions=3)

    (group,) = state.groups.values()
    assert (Verdict.INCONCLUSIVE, "unfinished") == (state.verdict, group.finding.cause)
    assert "Thread-1 (look) look.rounds changes" in group.finding.message
    assert "stem: " in group.finding.details[0]
    assert 4 == state.exit_code


def test_no_circle() -> None:
    """A program that is longer than all bounds, and repeats nothing, is told so."""

    def body() -> None:
        lock, flag, luck = threading.Lock(), threading.Event(), Random(1)
        for _ in range(1000):
            (lock.locked if luck.random() < 0.5 else flag.is_set)()

    (group,) = run(body, steps=50).groups.values()

    assert ("unfinished", ("no circle",)) == (group.finding.cause, group.finding.key)
    assert "higher max_steps" in group.finding.message


@pytest.mark.parametrize(
    ("steps", "expected"),
    [("xy" * 40, 2), ("a" * 90, 1), ("abc", 0), ("", 0), ("abcd" * 3, 4), ("xaa" * 30, 3)],
)
def test_period(steps: str, expected: int) -> None:
    """The period is the least at which enough of the last steps repeat."""
    assert expected == period([(letter, letter, letter) for letter in steps])


def test_period_of_new_objects() -> None:
    """Objects that a loop makes anew each round have other numbers, and are the same step."""
    steps = [("main", op, f"main:Lock#{number}") for number in range(20) for op in ("a", "b")]

    assert 2 == period(steps)


def test_relation() -> None:
    """Who gives way for the second time waits for who could go on meanwhile and never ran, until that one runs."""
    relation = Relation()
    tasks = [task(index) for index in range(3)]
    relation.step(0, [0, 1, 2], gave_way=True)
    assert tasks == relation.allowed(tasks)
    relation.step(1, [0, 1, 2], gave_way=False)
    relation.step(0, [0, 1, 2], gave_way=True)
    assert {0: {2}} == relation.waits
    assert tasks[1:] == relation.allowed(tasks)
    assert tasks[:2] == relation.allowed(tasks[:2])

    relation.step(2, [0, 1, 2], gave_way=False)
    assert tasks == relation.allowed(tasks)


def test_relation_knows_who_was_blocked() -> None:
    """Who blocks another and gives way owes it a step."""
    relation = Relation()
    relation.step(0, [0, 1], gave_way=True)
    relation.step(0, [0], gave_way=False)
    relation.step(0, [0, 1], gave_way=True)

    assert {0: {1}} == relation.waits


class FirstTask:
    """Takes the first enabled task, always."""

    name, seed = "first", 0

    def new_execution(self) -> bool:
        """Go on."""
        return True

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Take the first."""
        return enabled[0]

    def draw(self, bound: int) -> int:
        """Take the least."""
        return bound - bound

    def worth(self, executions: int) -> str:
        """Say nothing."""
        return f"{executions}"


def polls_first() -> None:
    told = threading.Event()

    def look() -> None:
        while not told.is_set():
            time.sleep(0)

    zoo.together(look, look, told.set)


def test_unfair_strategy_is_made_fair() -> None:
    """A strategy that prefers those who poll does not end; inside the fair scheduler it does, in a few steps."""
    program = replace(of_code(polls_first, "t:t"), settings=Settings(max_steps=400))

    alone = explore(program, FirstTask(), executions=1)
    fair = explore(program, Fair(FirstTask()), executions=1)

    assert alone.steps > 400
    assert fair.steps < 100
    assert "of the fair schedules alone: 1" == fair.worth


@pytest.mark.parametrize("inner", [DFS, PCT, RandomWalk])
def test_fair_strategies(inner: Callable[[int], DFS | PCT | RandomWalk]) -> None:
    """Any strategy runs inside it, finds what it finds, and its schedules replay."""
    strategy = Fair(inner(3))

    state = explore(of_code(zoo.abba, "t:t"), strategy, executions=200)

    (group,) = state.groups.values()
    assert (Verdict.FOUND, "", strategy.name) == (state.verdict, group.doubt, state.strategy)


def test_fair_on_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """`--fair` puts the fair scheduler around the strategy named."""
    parser = argparse.ArgumentParser()
    cli.add_parsers(parser.add_subparsers())
    place = "tests.verify.test_fairness:polls_first"
    args = parser.parse_args(
        ["explore", place, "--strategy", "dfs", "--fair", "--executions", "20"]
    )

    assert 0 == cli.run_explore(args)
    assert "strategy fair dfs" in capsys.readouterr().out


class Thing:
    """Has attributes and a slot."""

    __slots__ = ("__dict__", "slot")


def made(value: int) -> list[object]:
    """Return one of each kind of value, with `value` in it."""
    thing = Thing()
    thing.slot = value  # type: ignore[attr-defined] # made by __slots__
    circle: list[object] = [value]
    circle.append(circle)
    numbers = iter(range(10))
    next(numbers)
    for _ in range(value):
        next(numbers)
    inside = value
    return [
        value, str(value), float(value), (value,), [[value]], {value: 1}, {"k": value}, {value, 7}, deque([value]),
        bytearray([value]), array("i", [value]), thing, circle, numbers, lambda: inside, thing.__repr__,
    ]  # fmt: skip


def test_state_sees_contents() -> None:
    """The same contents in other objects are the same state, other contents are another."""

    def numbers(value: int) -> list[int]:
        return [hash(tuple(Walk().of(each))) for each in made(value)]

    assert numbers(1) == numbers(1)
    assert [] == [
        at for at, (one, two) in enumerate(zip(numbers(1), numbers(2), strict=True)) if one == two
    ]


def test_changed() -> None:
    """Numbers differ, times differ by more than rounding, and what is gone differs."""
    one = {"a at 1": 1, "t at 0": 0.1 + 0.2, "gone at 0": 1}
    other = {"a at 1": 2, "t at 0": 0.3}

    assert ("a", "gone") == changed(one, other)


def task(index: int) -> Task:
    return Task(index, f"main/{index}", "T", print, daemon=False)
