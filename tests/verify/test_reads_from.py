"""Reads-from fuzzing: the constraints' state machines, and programs that need more than luck."""

from __future__ import annotations

import pytest

from bench.programs import BY_NAME
from verify import POS, ReadsFrom, Verdict, explore
from verify.program import of
from verify.runtime.task import Task
from verify.strategies import constraints
from verify.strategies.constraints import (
    AVOID,
    NEUTRAL,
    OVER,
    TAKE,
    WAITING,
    WRITTEN,
    Constraint,
    Constraints,
    Event,
    Live,
)
from verify.strategies.dependence import role_of

from . import zoo
from .outcomes import assert_found

READ, WRITE, OTHER = Event("read", "x", 0), Event("write", "x", 0), Event("write", "x", 1)


def task(index: int, op: str, target: str) -> Task:
    """Return a task that stands before an operation."""
    made = Task(index, f"main/{index}", "T", print, daemon=False)
    made.op, made.target = op, target
    return made


class Part:
    """The target of an access."""

    def __init__(self, name: str) -> None:
        self.object = name


@pytest.mark.parametrize(
    ("positive", "state", "expected"),
    [
        (True, WAITING, (AVOID, TAKE, NEUTRAL)),
        (True, WRITTEN, (TAKE, NEUTRAL, AVOID)),
        (True, OVER, (NEUTRAL, NEUTRAL, NEUTRAL)),
        (False, WAITING, (NEUTRAL, NEUTRAL, NEUTRAL)),
        (False, WRITTEN, (AVOID, NEUTRAL, NEUTRAL)),
        (False, OVER, (NEUTRAL, NEUTRAL, NEUTRAL)),
    ],
)
def test_advice(positive: bool, state: int, expected: tuple[int, int, int]) -> None:
    """Each state says of the reader, its writer and other writes what the table says."""
    live = Live(Constraint(READ, WRITE, positive))
    live.state = state

    assert expected == tuple(live.advice(event) for event in (READ, WRITE, OTHER))


@pytest.mark.parametrize(
    ("writer", "events", "expected"),
    [
        (WRITE, [], WAITING),
        (WRITE, [WRITE], WRITTEN),
        (WRITE, [WRITE, OTHER], WAITING),
        (WRITE, [WRITE, READ], OVER),
        (WRITE, [OTHER, READ, WRITE], OVER),
        (None, [], WRITTEN),
        (None, [OTHER], OVER),
    ],
)
def test_states(writer: Event | None, events: list[Event], expected: int) -> None:
    """A constraint follows the writes of its object, and is over when its reader has read."""
    live = Live(Constraint(READ, writer))
    for event in events:
        live.happened(event)

    assert expected == live.state


def test_patience() -> None:
    """What has been held against for an execution's length is given up."""
    wanted = Constraints([Constraint(READ, WRITE)], patience=3)
    reader = task(1, "read", "x")
    advice = []
    for step in range(5):
        advice.append(wanted.advice(reader))
        wanted.happened(task(2, "write", f"y{step}"), "y")

    assert [AVOID, AVOID, AVOID, AVOID, NEUTRAL] == advice


def test_pairs() -> None:
    """A read is paired with the last write of the same object, the first with nothing; a release is no event."""
    seen = Constraints([], patience=10)
    for one in (
        task(1, "read", "x"), task(1, "write", "x"), task(2, "read", "x"),
        task(1, "Lock.acquire", "l"), task(1, "Lock.release", "l"), task(2, "Lock.acquire", "l"),
    ):  # fmt: skip
        seen.happened(one, one.target)

    pairs = [(writer and writer.op, reader.op) for writer, reader in seen.pairs]
    expected = [
        (None, "read"), ("write", "read"), (None, "Lock.acquire"), ("Lock.acquire", "Lock.acquire")
    ]  # fmt: skip
    assert expected == pairs
    assert ["x", "l"] == list(seen.shared)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (Part("main/3:State#1.a"), "State#1.a"),
        (Part("main:State#1.a"), "State#1.a"),
        (Part("ram:0"), "ram:0"),
        ("main/3:Lock#1", "main/3:Lock#1"),
    ],
)
def test_roles(target: object, expected: str) -> None:
    """An object known by its accesses goes by the same name whoever came to it first."""
    assert expected == role_of(target)


@pytest.mark.parametrize(
    "name",
    [
        "account",
        "bluetooth_driver",
        "deadlock01",
        "pbzip2",
        "reorder_5",
        "stringbuffer",
        "twostage",
    ],
)
def test_found(name: str) -> None:
    """The planted bug is found, and its schedule runs into it again."""
    assert_found(BY_NAME[name].program, ReadsFrom(1), 300)


@pytest.mark.parametrize("name", ["reorder_20", "twostage_20"])
def test_finds_what_order_sampling_misses(name: str) -> None:
    """Where many threads must be held back, constraints find in a hundred executions what sampling does not."""
    program = BY_NAME[name].program

    found = explore(program, ReadsFrom(1), executions=100, first_only=True)
    assert Verdict.FOUND == found.verdict
    missed = explore(program, POS(1), executions=100, first_only=True)
    assert Verdict.NOT_FOUND == missed.verdict


@pytest.mark.parametrize("name", ["bluetooth_fixed", "spin_good", "twostage_fixed"])
def test_not_blamed(name: str) -> None:
    """No schedule of a corrected program is reported."""
    state = explore(BY_NAME[name].program, ReadsFrom(2), executions=60)

    assert [] == [group.finding.message for group in state.groups.values()]


def test_same_seed_same_search() -> None:
    """A seed fixes the whole exploration."""
    one, other, third = (
        explore(of(zoo.philosophers), ReadsFrom(seed), executions=60) for seed in (5, 5, 6)
    )

    assert (one.steps, one.worth) == (other.steps, other.worth)
    assert [g.choices for g in one.groups.values()] == [g.choices for g in other.groups.values()]
    assert [g.choices for g in one.groups.values()] != [g.choices for g in third.groups.values()]


def test_corpus_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond its room the oldest set that only showed a combination goes, and those with a pair stay."""
    monkeypatch.setattr("verify.strategies.reads_from.MOST_KEPT", 5)
    strategy = ReadsFrom(1)

    explore(BY_NAME["work_steal_queue"].program, strategy, executions=150)

    assert 5 == len(strategy.kept)
    assert len(strategy.combinations) > 5
    assert constraints.ROUNDS > max(event.round for event in strategy.readers)
