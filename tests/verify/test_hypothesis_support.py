"""Data and interleavings drawn together: what a failure shrinks to, and that nothing else decides."""

from __future__ import annotations

import importlib
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st
from hypothesis.database import InMemoryExampleDatabase

from tests.verify import zoo
from verify import CheckFailed, UsageError, check, draw
from verify.hypothesis_support import Interleaving, interleavings
from verify.lasting import session_for, sessions_last
from verify.program import of
from verify.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, ModuleType

    Example = tuple[list[int], Interleaving]

QUICK = (Phase.generate, Phase.shrink, Phase.reuse)
"""Without Hypothesis' own explanations, which run everything some hundred times more."""
ints = st.lists(st.integers())
SPOOL = "examples.spool"


@pytest.fixture(autouse=True, scope="module")
def spool_is_forgotten() -> Iterator[None]:
    """Let the example be loaded for the length of this file: tokens are of the modules loaded of a package."""
    yield
    sys.modules.pop(SPOOL, None)


def spool() -> ModuleType:
    """Return the example."""
    return importlib.import_module(SPOOL)


def seen(
    body: Callable[[list[int]], object],
    database: InMemoryExampleDatabase | None = None,
    examples: int = 100,
) -> tuple[CheckFailed | None, list[Example]]:
    """Run a Hypothesis test of `body`; return how it failed, and the examples that it was run with."""
    drawn: list[Example] = []

    @settings(phases=QUICK, database=database, derandomize=database is None, max_examples=examples)
    @given(ints, interleavings(shrink=0.2))
    def test(items: list[int], schedule: Interleaving) -> None:
        drawn.append((items, schedule))
        schedule.run(body, items)

    with sessions_last():
        try:
            test()
        except CheckFailed as failed:
            return failed, drawn
    return None, drawn


@pytest.mark.slow
def test_three_items_and_one_preemption() -> None:
    """A bug that needs three items and one preemption shrinks to just that, and the report tells it."""
    failed, drawn = seen(spool().write_and_flush)

    assert ([0, 0, 0], Interleaving(((0, 1),))) == drawn[-1]
    assert failed is not None
    assert "UNCAUGHT EXCEPTION in examples.spool:write_and_flush" in str(failed)
    assert "14 steps, 1 preemption, 3 tasks" in str(failed)
    assert any("items=[0, 0, 0]" in note for note in failed.__notes__)


@pytest.mark.slow
def test_database_keeps_both() -> None:
    """A failure that Hypothesis has kept, data and schedule, is what the next run begins with."""
    database = InMemoryExampleDatabase()
    _, first = seen(spool().write_and_flush, database)
    _, second = seen(spool().write_and_flush, database)

    assert first[-1] == second[0]


def no_bug(items: list[int]) -> None:
    """Write and flush with nothing outside the lock."""
    lock = threading.Lock()
    sent: list[int] = []

    def write() -> None:
        for item in items:
            with lock:
                sent.append(item)

    zoo.together(write, write)
    assert 2 * len(items) == len(sent)


def test_sound() -> None:
    """A program without a bug passes."""
    failed, drawn = seen(no_bug, examples=10)

    assert None is failed
    assert any(schedule.switches for _, schedule in drawn)


def found(schedule: Interleaving, body: Callable[..., object], *args: object) -> str:
    """Return the headline of what a schedule shows, or an empty string."""
    try:
        schedule.run(body, *args)
    except CheckFailed as failed:
        return failed.headline
    return ""


def test_zero_is_to_go_on() -> None:
    """Without departures, or with some of nothing, every thread goes on while it can."""
    assert "" == found(Interleaving(), zoo.abba)
    assert "" == found(Interleaving(((0, 0), (3, 0))), zoo.abba)
    assert found(Interleaving(((0, 1),)), zoo.abba).startswith("deadlock")


def test_same_again() -> None:
    """The same data and schedule fail in the same way whatever was run before, in a lasting session or not."""
    schedule = Interleaving(((0, 1),))
    alone = found(schedule, spool().write_and_flush, [1, 2, 3])
    with sessions_last():
        found(Interleaving(((5, 3), (2, 1))), spool().write_and_flush, [1] * 7)
        lasting = found(schedule, spool().write_and_flush, [1, 2, 3])

    assert alone == lasting
    assert alone.startswith("uncaught exception")


def test_body_gets_copies() -> None:
    """A body may change its arguments: every run begins with what was drawn."""
    items = [1, 2, 3]
    lengths: set[int] = set()

    def takes(given: list[int]) -> None:
        lengths.add(len(given))
        given.clear()

    Interleaving(((0, 1),)).run(takes, items)

    assert ({3}, [1, 2, 3]) == (lengths, items)


def test_kinds_of_failures() -> None:
    """Failures that differ in cause or place are of different types: Hypothesis does not take one for the other."""

    def kind(body: Callable[[], object]) -> type[CheckFailed]:
        with pytest.raises(CheckFailed) as caught:
            Interleaving(((0, 1),)).run(body)
        return caught.type

    def fails() -> None:
        raise ValueError("always")

    kinds = [kind(zoo.abba), kind(fails), kind(zoo.self_deadlock)]

    assert 3 == len({*kinds})
    assert ["Deadlock", "UncaughtException", "SelfDeadlock"] == [each.__name__ for each in kinds]
    assert kinds[0] is kind(zoo.abba)


def test_assumptions() -> None:
    """An assumption that does not hold inside the body ends the example, and is no failure."""

    def odd(items: list[int]) -> None:
        assume(len(items) % 2)

    failed, drawn = seen(odd, examples=10)

    assert None is failed
    assert len(drawn) > 10


def test_deadline() -> None:
    """Time that runs take does not count: a deadline that they all exceed is kept."""

    @settings(database=None, max_examples=3, deadline=5)
    @given(interleavings())
    def test(schedule: Interleaving) -> None:
        for _ in range(40):
            schedule.run(zoo.abba_ordered)

    with sessions_last():
        test()


def test_values() -> None:
    """Values that the program draws are drawn with the schedule; beyond them it gets 0."""
    got: list[list[int]] = []

    def draws() -> None:
        got.append([draw(1000) for _ in range(3)])

    Interleaving((), (7, 8)).run(draws)

    assert [7, 8, 0] in got
    assert "Interleaving((), (7, 8))" == repr(Interleaving((), (7, 8)))


class Follower:
    """A trace function that notes which functions it saw."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def trace(self, frame: FrameType, event: str, arg: object) -> None:
        """Note one function."""
        self.names.append(frame.f_code.co_name)


class OfHypothesis(Follower):
    """One that says it is Hypothesis' own."""

    __module__ = "hypothesis.internal.scrutineer"


@pytest.mark.parametrize(("kind", "follows"), [(Follower, True), (OfHypothesis, False)])
def test_tracers(kind: type[Follower], follows: bool) -> None:
    """Hypothesis' own tracer does not follow the runtime and is there again afterwards; others stay."""
    follower = kind()
    before = sys.gettrace()
    sys.settrace(follower.trace)
    try:
        found(Interleaving(), zoo.abba)
        kept = sys.gettrace()
    finally:
        sys.settrace(before)

    assert follower.trace == kept
    assert follows == ("abba" in follower.names)


def test_inside_a_check() -> None:
    """Inside another check, which decides already who goes on, a schedule is refused."""

    def nested() -> None:
        Interleaving().run(zoo.abba)

    with pytest.raises(UsageError, match="inside another check"):
        check(nested, executions=1)


@pytest.mark.parametrize(
    "wrong", [{"tries": 0}, {"preemptions": -1}, {"values": 1000}, {"tries": True}]
)
def test_bad_numbers(wrong: dict[str, int]) -> None:
    """A number that cannot be meant is refused by name."""
    with pytest.raises(UsageError, match=f"{next(iter(wrong))} is {next(iter(wrong.values()))!r}"):
        interleavings(**wrong)  # type: ignore[arg-type] # as parametrised


def test_sessions_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """One session serves all checks of the same files; another program's closes it; at the end none is open."""
    opened: list[str] = []
    closed: list[str] = []
    enter, leave = Session.__enter__, Session.__exit__

    def entering(self: Session) -> Session:
        opened.append(self.program.target)
        return enter(self)

    def leaving(self: Session, *details: object) -> None:
        closed.append(self.program.target)
        leave(self, *details)  # type: ignore[arg-type] # as they came

    monkeypatch.setattr(Session, "__enter__", entering)
    monkeypatch.setattr(Session, "__exit__", leaving)
    first, other = of(zoo.abba), of(spool().write_and_flush)
    with sessions_last():
        for program in (first, first, other, other):
            with session_for(program, "greenlets") as session:
                assert session.program is program
        assert (2, 1) == (len(opened), len(closed))

    assert 2 == len(closed)


def test_spool_alone() -> None:
    """The example's spool works where nobody is in between."""
    one = spool().Spool()
    for item in range(7):
        one.write(item)
    one.flush()

    assert [*range(7)] == one.sent
