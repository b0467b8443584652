"""Classes of executions: as many as the program's conflicts make, whoever runs them and in whatever order."""

from __future__ import annotations

import threading
import time

import pytest

from bench.programs import locked
from verify import DFS, access, draw
from verify.happens_before import Classes
from verify.program import of
from verify.session import Session

from . import zoo


def classes_of(body: zoo.Program) -> tuple[set[int], int]:
    """Run every schedule; return the classes, and how many executions there were."""
    program = of(body)
    classes, strategy = Classes(), DFS()
    found: set[int] = set()
    runs = 0
    with Session(program) as session:
        while strategy.new_execution():
            session.run(strategy, [classes, *program.detectors()])
            found.add(classes.fingerprint)
            runs += 1
    return found, runs


def writers(*parts: tuple[int, int], write: bool = True) -> zoo.Program:
    """Return a program whose threads each touch a part of one object."""

    def body() -> None:
        zoo.together(*[lambda lo=lo, hi=hi: access("x", lo, hi, write=write) for lo, hi in parts])

    return body


def times() -> None:
    """Two threads read the clock, between operations."""
    zoo.together(time.monotonic, time.monotonic)


def draws() -> None:
    """A thread draws one of three values."""
    zoo.together(lambda: draw(3))


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (writers((0, 0), (0, 0)), 2),
        (writers((0, 4), (4, 8)), 1),
        (writers((0, 4), (3, 8)), 2),
        (writers((0, 0), (0, 0), write=False), 1),
        (times, 2),
        (draws, 3),
        (locked.deadlock01, 3),
    ],
    ids=["write", "apart", "overlap", "read", "clock", "draw", "deadlock01"],
)
def test_counts(body: zoo.Program, count: int) -> None:
    """All schedules of a small program fall into as many classes as its conflicts have orders."""
    found, runs = classes_of(body)

    assert count == len(found)
    assert runs >= count


def test_conflicts() -> None:
    """The pairs in conflict are told in the order in which they happened; the start of a thread is not one of them."""
    program, classes = of(writers((0, 0), (0, 0))), Classes()
    strategy = DFS()
    strategy.new_execution()
    with Session(program) as session:
        session.run(strategy, [classes, *program.detectors()])

    pairs = [pair for pair in classes.conflicts() if pair[0][1] == pair[1][1] == "write"]
    assert [(("main/1", "write", 2), ("main/2", "write", 2))] == pairs


def test_same_in_every_process() -> None:
    """A class has one number, in every process and on every version."""
    program, classes = of(locked.deadlock01), Classes()
    strategy = DFS()
    strategy.new_execution()
    with Session(program) as session:
        session.run(strategy, [classes, *program.detectors()])

    assert 1191744058280325384 == classes.fingerprint


def test_early_objects_have_one_class() -> None:
    """Which of two threads is the first to look at an object from before the check makes no class of its own."""
    event, lock = threading.Event(), threading.Lock()

    def look() -> None:
        event.is_set()

    found, _ = classes_of(lambda: zoo.together(look, look, lock.locked))
    assert 1 == len(found)
