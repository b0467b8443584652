"""The two backends: one schedule format, the same steps, and what only a thread of its own can carry."""

from __future__ import annotations

import _thread
import asyncio
import contextvars
import gc
import json
import os
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from traces import token as tokens
from verify import RandomWalk, Settings, _real, explore, replay
from verify.abc import UsageError
from verify.determinism import Log
from verify.explore import HELD, Replayer, Verdict
from verify.program import Program, of
from verify.record import Origin, Recorder, trace_of
from verify.runtime.carriers import BACKENDS, GREENLETS, THREADS
from verify.session import Session
from verify.strategies.replay import Replay

from . import zoo

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
PROGRAMS = (*zoo.FAULTY, *zoo.SOUND)
both = pytest.mark.parametrize("backend", BACKENDS)


def program(body: zoo.Program) -> Program:
    return replace(of(body), settings=Settings(max_steps=300, fair_steps=300, max_jumps=2000))


@pytest.mark.parametrize("body", PROGRAMS, ids=lambda body: body.__name__)
def test_same_schedule_same_steps(body: zoo.Program) -> None:
    """A schedule drawn on greenlets makes the same operations, choices and end on OS threads."""
    target, strategy = program(body), RandomWalk(5)
    with Session(target) as session:
        for _ in range(8):
            strategy.new_execution()
            first, second = Log(), Log()
            outcome = session.run(strategy, [first, *target.detectors()])
            again = Replay(outcome.choices)
            repeated = session.run(again, [second, *target.detectors()], backend=THREADS)

            assert first.steps == second.steps
            assert outcome == repeated


@pytest.mark.parametrize("body", PROGRAMS, ids=lambda body: body.__name__)
def test_fifty_replays_of_one_token(body: zoo.Program) -> None:
    """One token replays 50 times on OS threads, every step checked."""
    target, strategy, recorder = program(body), RandomWalk(6), Recorder()
    with Session(target) as session:
        strategy.new_execution()
        outcome = session.run(strategy, [recorder, *target.detectors()])
        trace = trace_of(target, recorder, outcome.choices, outcome.finding, Origin("random", 6))
        replayer = Replayer(target, tokens.from_trace(trace), trace=trace)

        runs = [replayer.once(session, backend=THREADS).difference for _ in range(50)]

    assert [""] * 50 == runs


@pytest.mark.parametrize("body", zoo.FAULTY, ids=lambda body: body.__name__)
def test_found_on_threads_replayed_on_greenlets(body: zoo.Program) -> None:
    """The search itself runs on OS threads too, and what it finds replays on greenlets."""
    target = program(body)
    state = explore(target, RandomWalk(1), executions=300, first_only=True, backend=THREADS)
    (group,) = state.groups.values()

    runs = replay(target, tokens.decode(group.token), trace=group.trace, backend=GREENLETS)

    assert zoo.FAULTY[body] == group.finding.cause
    assert [""] == [run.difference for run in runs]


def test_finds_are_run_again_on_threads() -> None:
    """A find says that it held on OS threads."""
    (group,) = explore(of(zoo.abba), RandomWalk(1), executions=100).groups.values()

    assert HELD == group.held
    assert "" == group.doubt


mine = _real.local()


def own_thread() -> None:
    """Needs a thread of its own: keeps a value where only the operating system's thread counts."""

    def work(value: int) -> None:
        mine.value = value
        threading.Event().set()
        assert mine.value == value

    zoo.together(lambda: work(1), lambda: work(2))


def test_what_greenlets_alone_show_is_no_find() -> None:
    """A failure that does not hold on OS threads is inconclusive, and says where to go."""
    state = explore(of(own_thread), RandomWalk(1), executions=100)
    (group, *_) = state.groups.values()

    assert Verdict.INCONCLUSIVE == state.verdict
    assert group.held.startswith("did not hold on OS threads: ")
    assert group.held.endswith("explore with backend threads")
    assert (
        Verdict.NOT_FOUND
        == explore(of(own_thread), RandomWalk(1), executions=100, backend=THREADS).verdict
    )


def two_loops() -> None:
    got = []

    def work(number: int) -> None:
        async def job() -> None:
            await asyncio.sleep(0.01)
            got.append(number)

        asyncio.run(job())

    zoo.together(lambda: work(1), lambda: work(2))
    assert sorted(got) == [1, 2]


def test_asyncio_in_two_threads() -> None:
    """Each thread runs a loop of its own."""
    state = explore(of(two_loops), RandomWalk(1), executions=20, backend=THREADS)

    assert [] == [group.finding.message for group in state.groups.values()]
    assert Verdict.NOT_FOUND == state.verdict


def stubborn() -> None:
    lock = threading.Lock()

    def cling() -> None:
        while True:
            try:
                with lock:
                    threading.Event().wait()
            except BaseException:  # noqa: BLE001, S110 - that is the point
                pass

    threading.Thread(target=cling, daemon=True).start()


def test_stubborn_tasks_are_abandoned() -> None:
    """A thread that swallows its own end is left parked, and the search goes on."""
    state = explore(of(stubborn), RandomWalk(1), executions=5, backend=THREADS)

    assert (Verdict.NOT_FOUND, 5) == (state.verdict, state.executions)


def test_leaves_no_thread_and_no_pin() -> None:
    """After a check every thread of its own has ended and the process may use the cores it had."""
    cores, inside = os.sched_getaffinity(0), []
    before = _thread._count()

    def body() -> None:
        inside.append(len(os.sched_getaffinity(0)))
        zoo.abba()

    explore(of(body), RandomWalk(1), executions=20, backend=THREADS)
    deadline = _real.monotonic() + 5
    while _thread._count() > before and _real.monotonic() < deadline:
        os.sched_yield()

    assert cores == os.sched_getaffinity(0)
    assert {1} == set(inside)
    assert before == _thread._count()


@both
def test_interrupt(backend: str) -> None:
    """Ctrl-C ends the check, wherever it arrives."""
    ctrl_c = _thread.interrupt_main  # the real one, not the model

    def body() -> None:
        ctrl_c()
        while True:
            pass

    endless = replace(of(body), files=())  # its loop is not counted
    with pytest.raises(KeyboardInterrupt):
        explore(endless, RandomWalk(1), executions=1, backend=backend)


def test_no_more_threads_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that the system refuses is an error in the program's own start, never a hang."""
    made, start = [], _real.start_new_thread

    def scarce(function: Callable[..., object], args: tuple[object, ...]) -> int:
        made.append(function)
        if len(made) == 3:  # watchdog, main, then the first thread of the program
            raise RuntimeError("can't start new thread")
        return start(function, args)

    monkeypatch.setattr(_real, "start_new_thread", scarce)
    state = explore(of(zoo.kept_update), RandomWalk(1), executions=1, backend=THREADS)

    assert ["uncaught exception"] == [group.finding.cause for group in state.groups.values()]


name = contextvars.ContextVar("name", default="nobody")


@both
def test_context_variables(backend: str) -> None:
    """The main task changes a copy of the caller's context; a thread starts with none, as in CPython."""
    seen: list[tuple[str, str]] = []

    def body() -> None:
        before = name.get()
        name.set("main")

        def work() -> None:
            seen.append((before, name.get()))
            name.set("work")

        first = threading.Thread(target=work)
        first.start()
        first.join()
        second = threading.Thread(target=lambda: seen.append((name.get(), "")))
        second.start()
        second.join()
        assert name.get() == "main"

    outside = name.set("caller")
    state = explore(of(body), RandomWalk(1), executions=3, backend=backend)

    assert Verdict.NOT_FOUND == state.verdict
    assert [("caller", "nobody"), ("nobody", "")] * 3 == seen
    assert "caller" == name.get()
    name.reset(outside)


@both
def test_exception_state(backend: str) -> None:
    """A thread that is started inside a handler handles nothing itself; the handler goes on with its own."""

    def body() -> None:
        def work() -> None:
            assert sys.exception() is None

        try:
            int("x")
        except ValueError:
            before = sys.exception()
            zoo.together(work, work)
            same = sys.exception() is before
        assert same

    assert (
        Verdict.NOT_FOUND
        == explore(of(body), RandomWalk(1), executions=20, backend=backend).verdict
    )


@both
def test_tracing_is_left_alone(backend: str) -> None:
    """A trace function set by the caller is the same one after a check."""
    before, collecting = sys.gettrace(), gc.isenabled()
    explore(of(zoo.kept_update), RandomWalk(1), executions=3, backend=backend)

    assert before is sys.gettrace()
    assert collecting == gc.isenabled()


def test_threads_are_traced_where_asked() -> None:
    """What `threading.settrace` asks of new threads holds for those of the check."""
    files: set[str] = set()
    before = threading.gettrace()

    def trace(frame: object, event: str, argument: object) -> None:
        files.add(frame.f_code.co_filename)  # type: ignore[attr-defined] # a frame

    threading.settrace(trace)
    try:
        explore(of(zoo.kept_update), RandomWalk(1), executions=1, backend=THREADS)
    finally:
        threading.settrace(before)

    assert zoo.__file__ in files


def test_unknown_backend() -> None:
    """A backend that does not exist is refused by name."""
    with pytest.raises(UsageError, match="no backend 'fibres'; there are: greenlets, threads"):
        explore(of(zoo.abba), RandomWalk(1), executions=1, backend="fibres")


def test_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--backend` is understood by explore and replay, and a token goes from one to the other."""
    pytest.importorskip("numpy")  # the umbrella command loads all packages
    from stress.cli import main

    monkeypatch.chdir(ROOT)
    bank = "examples.bank:transfer"
    common = ["--executions", "100", "--json", "--output", str(tmp_path)]
    assert main(["explore", bank, *common, "--backend", "threads"]) == 1
    (group,) = json.loads(capsys.readouterr().out)["groups"]

    assert HELD == group["held"]
    for backend in BACKENDS:
        assert main(["replay", bank, group["token"], "--times", "3", "--backend", backend]) == 1
        assert "replayed 3 times: 3 identical step for step" in capsys.readouterr().out
