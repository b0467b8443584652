"""Shared accesses as operations: what is found at which granularity, how it is labelled, what stays untouched."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import traceback
from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING

import pytest

from traces import token as tokens
from verify import (
    CheckFailed,
    ForeignBuild,
    RandomWalk,
    UsageError,
    _real,
    accesses,
    builds,
    check,
    explore,
    invariant,
    replay,
)
from verify.explore import Exploration, Verdict
from verify.granularity import MOST_CHARACTERS, Granularity, covers, parse
from verify.instrument import rewrite
from verify.program import Program, of, refuse_other
from verify.record import Recorder
from verify.report import summary
from verify.session import Session

from . import shared, zoo

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

ROOT = Path(__file__).parents[2]


def program(body: zoo.Program, granularity: str) -> Program:
    files = (shared.__file__, __file__)
    return replace(of(body), files=files).at(granularity)


def search(body: zoo.Program, granularity: str, executions: int = 200) -> Exploration:
    return explore(program(body, granularity), RandomWalk(1), executions=executions)


def names(body: zoo.Program) -> object:
    return body.__name__


@pytest.mark.parametrize("granularity", ["access", "auto"])
@pytest.mark.parametrize("body", [*shared.ATOMIC, *shared.SPREAD], ids=names)
def test_found_at_accesses(body: zoo.Program, granularity: str) -> None:
    """A fault between two accesses is found, and its token runs the same steps into it."""
    state = search(body, granularity)
    (group,) = state.groups.values()

    runs = replay(program(body, "sync"), tokens.decode(group.token), trace=group.trace, times=3)

    assert Verdict.FOUND == state.verdict
    assert [""] * 3 == [run.difference for run in runs]


@pytest.mark.parametrize("granularity", ["sync", "gil"])
@pytest.mark.parametrize("body", shared.ATOMIC, ids=names)
def test_not_found_without_accesses(body: zoo.Program, granularity: str) -> None:
    """What lies between two operations, or two places where CPython hands over, is one step there."""
    assert Verdict.NOT_FOUND == search(body, granularity, 100).verdict


@pytest.mark.parametrize("body", shared.SPREAD, ids=names)
def test_found_at_switch_points(body: zoo.Program) -> None:
    """A call between read and write lets a stock build hand over: `gil` finds it."""
    state = search(body, "gil")

    assert Verdict.FOUND == state.verdict
    assert ["gil"] == [group.granularity for group in state.groups.values()]


@pytest.mark.parametrize("body", shared.ATOMIC, ids=names)
def test_needs_a_free_threaded_build(body: zoo.Program) -> None:
    """A fault that no stock build can show is labelled so, with the place that it preempts."""
    state = search(body, "access")
    (group,) = state.groups.values()

    assert group.build.startswith(f"{builds.FREE}: it preempts at tests/verify/shared.py:")
    assert builds.FREE in summary(state)
    assert group.trace is not None
    assert group.trace.failure is not None
    assert f"build: {group.build}" in group.trace.failure.details


def test_left_for_good() -> None:
    """A preemption that no stock build makes counts, too, where the thread it leaves never goes on."""
    target = program(half_written, "access")
    state = explore(target, RandomWalk(1), executions=100, first_only=True)
    (group,) = state.groups.values()

    assert group.build.startswith(f"{builds.FREE}: it preempts at tests/verify/test_accesses.py:")


class Pair:
    """Two numbers that belong together."""

    def __init__(self) -> None:
        self.one = self.other = 0


def half_written() -> None:
    pair = Pair()

    def write() -> None:
        pair.one = 1
        pair.other = 1

    def check() -> None:
        assert pair.one == pair.other

    threads = [threading.Thread(target=body) for body in (write, check)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("body", shared.ATOMIC[:2], ids=names)
def test_for_another_build(body: zoo.Program, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only this build of Python counts, such a fault warns and the check passes; on the other build it fails."""
    with pytest.warns(ForeignBuild, match=r"s3:1:"):
        state = check(body, executions=200, granularity="access", builds="running")

    assert (0, 1) == (state.exit_code, len(state.warnings))
    assert "this build of Python cannot show these" in summary(state)
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: False, raising=False)
    with pytest.raises(CheckFailed, match="needs a free-threaded build"):
        check(body, executions=200, granularity="access", builds="running")


def test_first_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for the first failure, a search goes on past one that this build of Python cannot show."""
    monkeypatch.setattr(builds, "MOST_TRIES", 40)  # enough here: no number of tries shows it
    body = program(shared.ATOMIC[0], "access")

    by_build = [
        explore(body, RandomWalk(1), executions=40, first_only=True, builds=which)
        for which in (builds.ANY, builds.RUNNING)
    ]
    (first,) = by_build[0].groups.values()

    assert first.first == by_build[0].executions < 40
    assert (40, 0, 1) == (
        by_build[1].executions,
        len(by_build[1].groups),
        len(by_build[1].warnings),
    )


@pytest.mark.parametrize("body", shared.SPREAD, ids=names)
def test_first_on_this_build(body: zoo.Program) -> None:
    """A failure that this build can show ends such a search at once."""
    state = explore(
        program(body, "access"), RandomWalk(1), executions=200, first_only=True, builds="running"
    )

    assert [state.executions] == [group.first for group in state.groups.values()]


@pytest.mark.parametrize("body", shared.SPREAD, ids=names)
def test_possible_everywhere(body: zoo.Program) -> None:
    """Its sibling with a call in between is possible on every build, by a schedule that a stock build can make."""
    (group,) = search(body, "access").groups.values()
    target = program(body, "sync")

    assert builds.EVERY == group.build
    with Session(target) as session:
        judged = builds.judge(session, group.finding, group.choices, group.granularity, 1)
    assert (builds.EVERY, group.choices) == judged


def test_failures_between_operations_are_possible_everywhere() -> None:
    """What needs no access to be shown needs no special build."""
    state = explore(of(zoo.abba), RandomWalk(1), executions=50)

    assert [builds.EVERY] == [group.build for group in state.groups.values()]


def test_read_then_write() -> None:
    """`self.n += 1` is a read, then a write, of an object named by who touched it first."""
    (group,) = search(shared.attribute, "access").groups.values()
    assert group.trace is not None

    own = [(step.op, step.object) for step in group.trace.steps if step.task == "main/1"]

    assert [("read", "main:Counter#1.n"), ("write", "main:Counter#1.n")] == own


def recorded(body: zoo.Program, granularity: str, seed: int = 1) -> list[tuple[str, str, str]]:
    target = program(body, granularity)
    recorder = Recorder()
    strategy = RandomWalk(seed)
    strategy.new_execution()
    with Session(target) as session:
        session.run(strategy, [recorder, *target.detectors()])
    return [(step.task, step.op, step.object) for step in recorder.steps]


def test_arguments_come_first() -> None:
    """The call of a container's method is an access behind those of its arguments."""
    steps = recorded(shared.order_of_arguments, "access+Counter.n,list.items[]")
    mine = [(op, name.rpartition(":")[2]) for task, op, name in steps if task == "main/1"]

    assert [("write", "Counter#1.n"), ("read", "Counter#1.n"), ("write", "list#1")] == mine


def test_only_what_threads_contend_for() -> None:
    """Objects of one thread at a time, and what starting and joining orders, are no scheduling points."""
    confined = search(shared.confined, "access", 50)
    handed_over = search(shared.handed_over, "access", 50)

    assert "access+list.results[]" == confined.granularity
    assert "access" == handed_over.granularity
    assert [Verdict.NOT_FOUND] * 2 == [confined.verdict, handed_over.verdict]


def test_auto_leaves_out_what_a_lock_orders() -> None:
    """`auto` adds no pair that one lock protects, so its tokens are those of `sync`; `access` adds it."""
    assert ("sync", "access+Counter.n") == (
        search(shared.locked, "auto", 30).granularity,
        search(shared.locked, "access", 30).granularity,
    )


def test_early_accesses_count_too() -> None:
    """Pairs that the first run shows are points from the second on, the first thread's accesses among them."""
    target = program(shared.attribute, "access")
    with Session(target, learn=True) as session:
        strategy = RandomWalk(3)
        seen = []
        for _ in range(2):
            strategy.new_execution()
            seen.append(session.run(strategy, target.detectors()).granularity)

    assert ["access", "access+Counter.n"] == seen


def test_the_report_names_the_points() -> None:
    """The summary says which pairs were scheduling points."""
    text = summary(search(shared.closure, "auto"))

    assert "scheduling points: granularity auto: operations, and accesses to cell.n" in text


def test_one_schedule_is_one_run() -> None:
    """A thousand runs of one schedule make the same steps, names included."""
    state = search(shared.check_then_act, "access")
    (group,) = state.groups.values()

    runs = replay(program(shared.check_then_act, "sync"), tokens.decode(group.token), times=1000)

    assert {True} == {run.identical for run in runs}


def stage3(*arguments: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "stress.cli", *arguments],
        env={**os.environ, "PYTHONHASHSEED": "random"}, cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 1, run.stderr
    return run.stdout


@pytest.mark.slow
def test_token_replays_in_a_fresh_process(tmp_path: Path) -> None:
    """The command line searches at `auto` by default, and its token carries the pairs to another process."""
    pytest.importorskip("numpy")  # the command is the whole distribution's
    target = "tests.verify.shared:closure"
    found = stage3("explore", target, "--executions", "50", "--json", "--output", str(tmp_path))
    (group,) = json.loads(found)["groups"]

    assert "auto+cell.n" == group["granularity"]
    assert "5 identical step for step" in stage3("replay", target, group["token"], "--times", "5")


def test_another_python_is_refused() -> None:
    """A token of this granularity belongs to one minor version."""
    target = of(shared.closure)
    own = ".".join(map(str, sys.version_info[:2]))
    (group,) = search(shared.closure, "auto").groups.values()
    token = tokens.Token(target.digest, "3.99", group.granularity, (), b"", 0, bytes(8))

    assert own == tokens.decode(group.token).python
    with pytest.raises(UsageError, match=f"belongs to Python 3.99, not {own}"):
        refuse_other(target, token)


@pytest.mark.parametrize("granularity", ["gil", "access", "auto"])
def test_leaves_nothing(granularity: str) -> None:
    """After a check every function has its own code, and nothing of the program is kept."""
    things = [*vars(shared).values(), *vars(shared.Counter).values()]
    functions = [thing for thing in things if isinstance(thing, FunctionType)]
    before = [function.__code__ for function in functions]

    search(shared.attribute, granularity, 30)

    assert all(new is old for new, old in zip((f.__code__ for f in functions), before, strict=True))
    assert {} == accesses.run.shared
    assert all(site.kinds is None for site in rewrite(shared.attribute.__code__, "access").sites)


def test_a_dead_object_keeps_its_name() -> None:
    """An object that takes a dead one's place in memory is another object."""

    def body() -> None:
        for _ in range(3):
            counter = shared.Counter()
            counter.n = 5

    steps = recorded(body, "access+Counter.n")

    assert [f"main:Counter#{at}.n" for at in (1, 1, 2, 2, 3, 3)] == [name for _, _, name in steps]


class Nosy:
    """Notices whoever asks it anything."""

    asked: list[str] = []  # noqa: RUF012 - shared on purpose

    n: int
    m: int

    def __bool__(self) -> bool:
        """Be true."""
        return True

    def __getattribute__(self, name: str) -> object:
        """Note the name."""
        Nosy.asked.append(name)
        return 1

    def __call__(self) -> None:
        """Be called."""


def test_hooks_ask_nothing() -> None:
    """A hook runs no code of the object that it stands before."""

    def body() -> None:
        nosy = Nosy()
        assert [nosy.n, nosy.m] == [1, 1]
        assert not [None for _ in range(2) if not nosy]
        nosy()

    Nosy.asked.clear()
    found = search(body, "access+Nosy.n,Nosy.m", 1)

    assert Verdict.NOT_FOUND == found.verdict
    assert ["n", "m"] == Nosy.asked


class Guarded:
    """Has a lock that reports call by its attribute."""

    def __init__(self) -> None:
        """Make it."""
        self.lock = threading.Lock()


def test_locks_keep_their_titles() -> None:
    """A hook before the assignment does not hide what a lock is called."""

    def body() -> None:
        guarded = Guarded()
        local = threading.Lock()
        cell = threading.Lock()

        def held() -> threading.Lock:
            return cell

        with guarded.lock, local, held():
            pass
        raise PlainError

    titles = []
    for granularity in ("sync", "access+*"):
        (group,) = search(body, granularity, 1).groups.values()
        assert group.trace is not None
        titles.append(group.trace.titles)

    assert {"Guarded.lock", "local", "cell"} <= set(titles[0].values())
    assert titles[0].items() <= titles[1].items()


def test_invariants_only_look() -> None:
    """What an invariant reads is no access of the task that happens to run."""

    def body() -> None:
        counter = shared.Counter()
        invariant("small", lambda: None if counter.n < 5 else "large")
        counter.n = 1
        counter.n = 2

    assert ["write"] * 3 == [op for _, op, _ in recorded(body, "access+Counter.n")]


def test_other_threads_pass_through() -> None:
    """A thread that no check controls runs rewritten code without a scheduling point."""
    other = shared.Counter()

    def body() -> None:
        done = _real.allocate_lock()
        done.acquire()

        def work() -> None:
            other.add()
            done.release()

        _real.start_new_thread(work, ())
        done.acquire()

    steps = recorded(body, "access+Counter.n")

    assert (1, []) == (other.n, steps)


class PlainError(Exception):
    """Has nothing to say."""


def many_constructs(out: list[object]) -> object:
    """Something of everything that a rewrite could break."""
    table: dict[str, list[int]] = {"a": [1, 2], "b": []}
    total = 0

    def inner(step: int = 1) -> int:
        nonlocal total
        total += step
        return total

    for key, values in table.items():
        try:
            out.append((key, values[0], inner(step=2)))
        except IndexError as error:
            out.append(str(error))
        else:
            out.append([n * inner() for n in values if n or not values])
        finally:
            table[key] = [*values, len(out)]
    values_seen = {2, 3}
    del table["a"][0]
    table["b"] += [inner(), *(n for n in (1, 2) if n in values_seen)]
    first, *rest = sorted(table["b"], key=lambda n: -n)
    out.extend((first, rest, table["a"][0:1], "a" in table, not rest, rest and first))

    def numbers() -> Generator[int, str, None]:
        got = yield 1
        out.append(got)
        yield from rest

    walk = numbers()
    out.extend((next(walk), walk.send("sent"), *walk))
    with pytest.raises(PlainError) as caught:
        raise PlainError(total)
    match out:
        case [str() | tuple(), *others] if others:
            out.append(len(others))
    counter = shared.Counter()
    counter.n, counter.n = 3, counter.n + 4
    text = f"{counter.n:>{3}}"
    del counter.n
    return caught.value.args, vars(counter), text, {k: v for k, v in table.items() if k}, total


@pytest.mark.parametrize("mode", ["gil", "access", "label"])
def test_meaning_is_kept(mode: str) -> None:
    """Rewritten code computes the same, with every access armed."""
    made = rewrite(many_constructs.__code__, mode)
    accesses.arm(test_meaning_is_kept, made.sites, frozenset({"*"}), everything=False)
    new = FunctionType(made.code, globals(), closure=many_constructs.__closure__)
    plain: list[object] = []
    hooked: list[object] = []

    assert made.code is not many_constructs.__code__
    assert (many_constructs(plain), plain) == (new(hooked), hooked)


def fails_deep(table: dict[str, int]) -> int:
    return sum(
        table[key]
        for key in ("a", "b")
    )  # fmt: skip


@pytest.mark.parametrize("mode", ["gil", "access", "label"])
def test_tracebacks_are_kept(mode: str) -> None:
    """Lines, columns and texts of a traceback are those of the plain code."""
    new = FunctionType(rewrite(fails_deep.__code__, mode).code, globals())

    assert trace_of(fails_deep) == trace_of(new)


def trace_of(function: Callable[[dict[str, int]], int]) -> list[str]:
    try:
        function({"a": 1})
    except KeyError as error:
        return traceback.format_exception(error)[2:]
    return []


def test_assertion_messages_are_kept() -> None:
    """An assertion rewritten by pytest says the same with hooks between its instructions."""

    def body() -> None:
        counter = shared.Counter()
        assert counter.n + len([counter.n]) == 2

    messages = {
        mode: [group.finding.message for group in search(body, mode, 3).groups.values()]
        for mode in ("sync", "gil", "access+Counter.n")
    }

    assert "assert (0 + 1) == 2" in messages["sync"][0]
    assert messages["sync"] == messages["gil"] == messages["access+Counter.n"]


def test_asynchronous_code_is_untouched() -> None:
    """Coroutines get no access hooks."""

    async def add(counter: shared.Counter) -> int:
        counter.n += 1
        return counter.n

    made = rewrite(add.__code__, "label")

    assert () == made.sites
    assert 1 == asyncio.run(add(shared.Counter()))


def test_texts_of_granularities() -> None:
    """A granularity is what its text says, and the text of a large set stays short by being coarser."""
    few = Granularity("access").grown(frozenset({"A.x", "list.items[]"}))
    many = few.grown(frozenset(f"Account.attribute_{n}" for n in range(30)))
    most = many.grown(frozenset(f"Class_{n}.attribute" for n in range(60)))

    assert "access+A.x,list.items[]" == few.text
    assert "access+A.*,Account.*,list.*" == many.text
    assert "access+*" == most.text
    assert [few, many, most] == [parse(each.text) for each in (few, many, most)]
    assert covers(many.pairs, "A.y")
    assert covers(most.pairs, "Any.thing")
    assert not covers(few.pairs, "A.y")
    assert max(len(each.text) for each in (few, many, most)) <= MOST_CHARACTERS
    assert "sync" == Granularity("auto").text
    assert many is many.grown(frozenset({"Account.attribute_1"}))


@pytest.mark.parametrize("text", ["", "line", "sync+A.x", "access+", "access+A", "access+A.x,,B.y"])
def test_bad_granularities(text: str) -> None:
    """A granularity that is none is one line that names those there are."""
    with pytest.raises(UsageError, match="say one of sync, gil, access, auto"):
        parse(text)
