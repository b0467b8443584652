"""The strategies that sample: POS, URW, SURW. They find what is planted, and URW draws evenly."""

from __future__ import annotations

import threading
from collections import Counter
from math import comb
from typing import TYPE_CHECKING

import pytest

from bench.programs import BY_NAME
from verify import PCT, POS, SURW, URW, RandomWalk, explore
from verify.explore import Verdict
from verify.program import of
from verify.session import Session
from verify.strategies.dependence import overlap, races

from . import zoo
from .outcomes import assert_found

if TYPE_CHECKING:
    from verify.strategies import NamedStrategy

SAMPLERS = [POS, URW, SURW]
PLANTED = [
    "account",
    "bluetooth_driver",
    "deadlock01",
    "reorder_3",
    "stringbuffer",
    "twostage",
    "wronglock_3",
]
CORRECT = [
    "bluetooth_fixed",
    "deadlock01_ordered",
    "twostage_fixed",
    "wronglock_fixed",
    "spin_good",
]


def unjoined(first: int, second: int) -> zoo.Program:
    """Return a program whose two threads never wait: `first` and `second` steps after the start of the other."""

    def body() -> None:
        # Sections of one lock each: an operation to take it, one to give it back.
        def work(steps: int) -> None:
            lock = threading.Lock()
            for _ in range(steps):
                lock.locked()

        threading.Thread(target=work, args=(second,)).start()
        work(first)

    return body


def choices_of(strategy: NamedStrategy, body: zoo.Program, runs: int) -> Counter[tuple[int, ...]]:
    program = of(body)
    detectors = program.detectors()
    found: Counter[tuple[int, ...]] = Counter()
    with Session(program) as session:
        for _ in range(runs):
            assert strategy.new_execution()
            found[session.run(strategy, detectors).choices] += 1
    return found


@pytest.mark.parametrize("strategy", SAMPLERS)
@pytest.mark.parametrize("name", PLANTED)
def test_found(name: str, strategy: type[POS | URW | SURW]) -> None:
    """The planted bug is found, and its schedule runs into it again."""
    assert_found(BY_NAME[name].program, strategy(1), 1000)


@pytest.mark.parametrize("strategy", SAMPLERS)
@pytest.mark.parametrize("name", CORRECT)
def test_not_blamed(name: str, strategy: type[POS | URW | SURW]) -> None:
    """No schedule of a corrected program is reported."""
    state = explore(BY_NAME[name].program, strategy(2), executions=60)

    assert [] == [group.finding.message for group in state.groups.values()]


@pytest.mark.parametrize("strategy", [*SAMPLERS, PCT])
def test_polling_ends(strategy: type[POS | URW | SURW | PCT]) -> None:
    """A loop that polls with a sleep does not starve the one it waits for: no run comes near the step bound."""
    state = explore(of(zoo.polling_that_ends), strategy(3), executions=50)

    assert Verdict.NOT_FOUND == state.verdict
    assert state.steps < 50 * 200


@pytest.mark.parametrize("strategy", SAMPLERS)
def test_same_seed_same_search(strategy: type[POS | URW | SURW]) -> None:
    """A seed fixes the whole exploration."""
    one, other, third = (choices_of(strategy(seed), zoo.philosophers, 40) for seed in (5, 5, 6))

    assert one == other
    assert one != third


def test_urw_is_uniform() -> None:
    """Over all interleavings of two threads that never wait, chi-square finds no preference.

    3 and 3 steps (the first step of a new thread counts) have 20 interleavings. The seed is fixed;
    36.2 is the 99 % point of chi-square with 19 degrees of freedom.
    """
    strategy = URW(11)
    choices_of(strategy, unjoined(3, 2), 20)  # learn the counts

    found = choices_of(strategy, unjoined(3, 2), 2000)

    classes = comb(6, 3)
    assert classes == len(found)
    expected = 2000 / classes
    assert sum((count - expected) ** 2 / expected for count in found.values()) < 36.2


def test_even_walk_is_not_uniform() -> None:
    """The same measure tells an even random walk from a uniform one: the test above can fail."""
    found = choices_of(RandomWalk(11, stay=0.0), unjoined(3, 2), 2000)

    expected = 2000 / comb(6, 3)
    assert sum((count - expected) ** 2 / expected for count in found.values()) > 200


def test_urw_learns_children() -> None:
    """What a task has left includes what its children will do, so late ones are not at a disadvantage."""
    strategy = URW(1)

    choices_of(strategy, unjoined(3, 2), 4)
    strategy.new_execution()

    assert {"main": 4.0, "main/1": 3.0} == strategy.weights.totals
    assert {"main": 7.0, "main/1": 3.0} == strategy.weights.trees


def test_surw_rotates_shared_objects() -> None:
    """Objects that more than one task uses are drawn one, all, or some at a time; others never."""
    strategy = SURW(4)
    program = of(zoo.philosophers)
    drawn = set()
    with Session(program) as session:
        for _ in range(60):
            strategy.new_execution()
            drawn.add(strategy.objects)
            session.run(strategy, program.detectors())

    forks = {f"main:Lock#{k}" for k in (1, 2, 3)}
    assert forks == set().union(*drawn)
    assert {1, 3} <= {len(objects) for objects in drawn}


class At:
    """A declared access to elements of an object."""

    def __init__(self, name: str, lo: int, hi: int) -> None:
        self.object, self.lo, self.hi = name, lo, hi


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (("read", "x"), ("read", "x"), False),
        (("read", "x"), ("write", "x"), True),
        (("write", "x"), ("write", "y"), False),
        (("Lock.acquire", "l"), ("Lock.release", "l"), True),
        (("begin", "x"), ("write", "x"), False),
        (("sleep", "clock"), ("sleep", "clock"), False),
        (("write", At("x", 0, 4)), ("write", At("x", 4, 8)), False),
        (("write", At("x", 0, 5)), ("read", At("x", 4, 8)), True),
        (("write", At("x", 0, 0)), ("read", At("x", 4, 8)), True),
    ],
)
def test_races(one: tuple[str, object], other: tuple[str, object], expected: bool) -> None:
    """Two operations race where they meet in one object and one of them changes it."""
    assert expected == races(one, other) == races(other, one)


def test_overlap_of_names() -> None:
    """A target without a range is the whole object."""
    assert overlap("x", At("x", 1, 2))
