"""DPOR: one execution a class, no outcome missed, and no claim beyond what was run."""

from __future__ import annotations

import inspect
import threading
import time
from typing import TYPE_CHECKING

import pytest

from bench.outcomes import Box, outcomes
from bench.programs import generated, locked, micro
from verify import DFS, DPOR, Settings, Verdict, access, draw, explore, invariant
from verify.program import Program, of, of_code
from verify.session import Session
from verify.strategies import dfs, dpor

from . import zoo

if TYPE_CHECKING:
    from collections.abc import Callable

HEAVY = {"condition_order"}
"""Micro-programs of many schedules: `python -m bench.classes` compares them."""
LEARNED = {
    "condition_order": "access+Thing.a",
    "barrier_indices": "access+dict.seen[]",
    "attribute_update": "access+Thing.a",
    "attributes_apart": "access+Thing.a,Thing.b,dict.seen[]",
    "not_in_dict": "access+dict.made[]",
    "dict_pop": "access+dict.made[]",
    "deque_test_and_pop": "access+deque.items[]",
    "deque_order": "access+deque.items[]",
    "list_length": "access+list.items[]",
    "clocks": "access+dict.seen[]",
}


def philosophers(count: int) -> zoo.Program:
    """Return a program of philosophers who each take the left fork first."""

    def body() -> None:
        forks = [threading.Lock() for _ in range(count)]

        def dine(seat: int) -> None:
            with forks[seat], forks[(seat + 1) % count]:
                pass

        zoo.together(*[lambda seat=seat: dine(seat) for seat in range(count)])

    return body


def writers(count: int, *, apart: bool = False) -> zoo.Program:
    """Return a program whose threads each write once, to one object or each to its own."""

    def body() -> None:
        zoo.together(
            *[
                lambda number=number: access(f"x{number if apart else 0}", write=True)
                for number in range(count)
            ]
        )

    return body


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (locked.deadlock01, 3),
        (locked.carter01, 4),
        (philosophers(2), 3),
        (philosophers(3), 7),
        (writers(4), 24),
        (writers(5, apart=True), 1),
    ],
    ids=["deadlock01", "carter01", "phil2", "phil3", "writers", "apart"],
)
def test_counts(body: zoo.Program, count: int) -> None:
    """Each class is run once: as many executions as there are classes, and those begun in vain."""
    box, strategy = Box(body), DPOR()
    with Session(of(box, "t:t")) as session:
        found = outcomes(session, box, strategy, 2000, classes=True)

    assert found.whole
    assert count == strategy.classes
    assert count == len(found.classes)
    assert found.executions == strategy.classes + strategy.blocked


def agree(program: Program, box: Box, most: int) -> None:
    """Compare what a program comes to under DPOR with what it comes to under every schedule."""
    strategy = DPOR()
    with Session(program) as session:
        every = outcomes(session, box, DFS(), most)
        found = outcomes(session, box, strategy, most, classes=True)

    assert every.whole
    assert found.whole
    assert set(every.seen) == set(found.seen)
    assert strategy.classes == len(found.classes)


@pytest.mark.parametrize("name", sorted(micro.PROGRAMS.keys() - HEAVY))
def test_micro(name: str) -> None:
    """A micro-program comes to the same things by one schedule of each class as by all schedules."""
    box = Box(micro.PROGRAMS[name])
    program = of_code(box, "t:t", file=inspect.getfile(micro.PROGRAMS[name]))
    agree(program.at(LEARNED.get(name, "access")), box, 400)


SEEDS = (1, 11, 18, 27, 28, 41, 43, 55, 71, 72, 77, 81, 84, 92, 95)


@pytest.mark.parametrize("seed", SEEDS)
def test_generated(seed: int) -> None:
    """So does a random program; `python -m bench.classes` compares three hundred."""
    box = Box(generated.program(seed))
    agree(of(box, "t:t"), box, 700)


def test_in_words() -> None:
    """A correct program is exhausted, and the report says by how many classes."""
    state = explore(of(locked.deadlock01_ordered), DPOR(), executions=100)

    assert Verdict.EXHAUSTED == state.verdict
    assert state.worth.startswith("one schedule of every equivalence class was run, at these")


def test_learned_points_begin_anew() -> None:
    """Pairs found on the way change the tree; every execution is looked through for more."""
    box = Box(micro.PROGRAMS["attribute_update"])
    strategy = DPOR()
    program = of_code(box, "t:t", file=inspect.getfile(micro.PROGRAMS["attribute_update"])).at(
        "auto"
    )
    state = explore(program, strategy, executions=100, check_determinism=2)

    assert Verdict.EXHAUSTED == state.verdict
    assert "auto+Thing.a" == state.granularity
    assert 4 == strategy.classes
    assert 4 == len(strategy.explored)


def polls() -> None:
    flag = threading.Event()

    def wait() -> None:
        while not flag.is_set():
            time.sleep(0)

    zoo.together(wait, flag.set)


def draws_much() -> None:
    draw(1000)


def long() -> None:
    lock = threading.Lock()
    for _ in range(5):
        with lock:
            pass


def watched() -> None:
    invariant("always", lambda: None)


@pytest.mark.parametrize(
    ("body", "settings", "left_out"),
    [
        (polls, Settings(), dpor.POLLING),
        (draws_much, Settings(), dfs.VALUES),
        (long, Settings(max_steps=6), dfs.BEYOND),
        (watched, Settings(), dpor.OUTSIDE["watched"]),
    ],
    ids=["polls", "draws", "long", "watched"],
)
def test_no_proof(body: Callable[[], None], settings: Settings, left_out: str) -> None:
    """What cannot be searched to the end is not claimed: the search ends, and says what it left out."""
    program = of(body)
    bounded = Program(program.target, program.body, program.files, settings=settings)
    strategy = DPOR()
    state = explore(bounded, strategy, executions=500)

    assert Verdict.NOT_FOUND == state.verdict
    assert strategy.done
    assert left_out in state.worth


def test_guarded_invariant_is_proof_enough() -> None:
    """What one lock guards is seen alike in all executions of a class."""

    def body() -> None:
        lock = threading.Lock()
        invariant("always", lambda: None, guarded=True)
        zoo.together(lock.locked, lock.locked)

    assert Verdict.EXHAUSTED == explore(of(body), DPOR(), executions=50).verdict


def test_all_values() -> None:
    """Every value that the program draws is tried with every class."""
    seen = set()

    def late() -> None:
        draw(2)
        access("x", write=True)

    def body() -> None:
        first = draw(3)
        zoo.together(lambda: access("x", write=True), late)
        seen.add(first)

    strategy = DPOR()
    state = explore(of(body), strategy, executions=500)

    assert Verdict.EXHAUSTED == state.verdict
    assert {0, 1, 2} == seen
    assert 12 == strategy.classes


def test_unsteady_program_is_told() -> None:
    """A program that differs under the same choices stops the search as inconclusive."""
    runs: list[int] = []

    def body() -> None:
        runs.append(1)
        lock = threading.Lock()
        for _ in range(len(runs)):
            lock.locked()
        zoo.together(lock.acquire, lock.locked)

    state = explore(of(body), DPOR(), executions=50)

    assert Verdict.INCONCLUSIVE == state.verdict
    assert "after the same choices before" in state.diverged


def test_kept_executions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Choices are kept for a certificate up to a bound, beyond which there are none."""
    strategy = DPOR()
    explore(of(writers(3)), strategy, executions=100)
    assert 6 == len(strategy.explored)

    monkeypatch.setattr(dpor, "MOST_EXPLORED", 4)
    strategy = DPOR()
    explore(of(writers(3)), strategy, executions=100)
    assert [] == strategy.explored
