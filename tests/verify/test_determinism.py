"""Two runs of one schedule: the first operation that differs, why, and what the toolkit makes the same."""

from __future__ import annotations

import gc
import itertools
import os
import random
import secrets
import threading
import time
import uuid
import weakref
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from verify import RandomWalk, Settings, explore
from verify.abc import Detector
from verify.detectors import default_detectors
from verify.determinism import Log
from verify.explore import Verdict
from verify.primitives.locks import Lock
from verify.program import Program, of
from verify.runtime.carriers import BACKENDS, THREADS
from verify.seeding import SEEDS, uses_random
from verify.session import Session
from verify.strategies.replay import Replay

from . import zoo

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.abc import ExecutionView

both = pytest.mark.parametrize("backend", BACKENDS)


class Shuffled(Detector):
    """Uses up memory between executions, so that addresses differ from one to the next."""

    def __init__(self, kept: list[object], count: itertools.count[int]) -> None:
        self.kept = kept
        self.count = count

    def start(self, execution: ExecutionView) -> None:
        """Allocate some more."""
        self.kept.extend(object.__new__(Lock) for _ in range(next(self.count) % 5))


def unsteady(body: Callable[[], object], settings: Settings | None = None) -> Program:
    kept: list[object] = []
    count = itertools.count()
    return replace(
        of(body),
        settings=settings or Settings(),
        detectors=lambda: [Shuffled(kept, count), *default_detectors()],
    )


runs = itertools.count()


def state_kept() -> None:
    lock = threading.Lock()
    if next(runs) % 2:
        lock.acquire()


def set_order() -> None:
    for lock in {threading.Lock() for _ in range(9)}:
        lock.acquire()


def by_address() -> None:
    for lock in in_some_order([threading.Lock() for _ in range(9)]):
        lock.acquire()


def in_some_order(locks: list[threading.Lock]) -> list[threading.Lock]:
    return sorted(locks, key=id)


def wall_clock() -> None:
    lock = threading.Lock()
    for _ in range(40):
        if time.process_time_ns() // 1000 % 3:
            lock.acquire()
            lock.release()


def unseeded() -> None:
    lock = threading.Lock()
    for _ in range(40):
        if random.random() < 0.5:
            lock.acquire()
            lock.release()


class Cycle:
    """Garbage that only a collection finds."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.self = self

    def __del__(self) -> None:
        self.lock.acquire()


def collected_later() -> None:
    gc.collect()
    Cycle()
    threading.Lock().acquire()


CAUSES: dict[Callable[[], object], tuple[str, str]] = {
    state_kept: ("state kept between runs", ""),
    set_order: ("the order of a set", "set_order"),
    by_address: ("id() or hash()", "in_some_order"),
    wall_clock: ("the wall clock", "wall_clock"),
    unseeded: ("random values without a seed", "unseeded"),
    collected_later: ("a finalizer", "Cycle.__del__"),
}


@pytest.mark.parametrize("body", CAUSES, ids=lambda body: body.__name__)
def test_likely_cause(body: Callable[[], object]) -> None:
    """The first operation that differs is named, with the likely cause and the line that speaks for it."""
    target = unsteady(body, Settings(seed_random=False))
    state = explore(target, RandomWalk(1), executions=20, check_determinism=20)
    what, _, why = state.diverged.partition("likely cause: ")
    cause, place = CAUSES[body]

    assert Verdict.INCONCLUSIVE == state.verdict
    assert what.startswith("two runs of one schedule differ at step ")
    assert why.startswith(cause)
    assert place in why


@both
@pytest.mark.parametrize("body", [zoo.queue_in_order, zoo.abba, zoo.sockets_in_memory])
def test_steady_programs_pass(body: zoo.Program, backend: str) -> None:
    """A program that depends on its schedule alone is explored on, every schedule run twice."""
    state = explore(of(body), RandomWalk(1), executions=20, check_determinism=20, backend=backend)

    assert ("", 20) == (state.diverged, state.executions)


def draws() -> list[object]:
    class Own(random.Random):
        pass

    return [
        random.random(), random.Random().random(), Own().random(), random.SystemRandom().random(),
        secrets.token_hex(4), uuid.uuid4(), uuid.uuid1(), os.urandom(4),
    ]  # fmt: skip


@both
def test_random_values_are_in_the_schedule(backend: str) -> None:
    """Every source differs between schedules and is the same in a replay, in any thread; choice 0 is the seed."""
    seen: list[list[object]] = []

    def body() -> None:
        zoo.together(lambda: seen.append(draws()), lambda: seen.append(draws()))

    target, strategy = of(body), RandomWalk(1)
    with Session(target, backend) as session:
        first = session.run(strategy, target.detectors())
        session.run(strategy, target.detectors())
        session.run(Replay(first.choices), target.detectors())

    assert 0 <= first.choices[0] < SEEDS
    assert seen[:2] == seen[4:]
    for one, other in itertools.combinations(seen[:4], 2):
        assert all(a != b for a, b in zip(one, other, strict=True))


def test_random_state_is_put_back() -> None:
    """Outside the check the generator goes on where it was, and the sources are the system's."""
    before, system = random.getstate(), os.urandom
    explore(of(unseeded), RandomWalk(1), executions=3)

    assert before == random.getstate()
    assert system is os.urandom


def test_only_programs_that_use_random_draw_a_seed() -> None:
    """A program that imports none of the modules has no seed among its choices; nor has one that asks for none."""
    assert not uses_random(of(zoo.abba))
    assert uses_random(of(unseeded))
    off = replace(of(unseeded), settings=Settings(seed_random=False))
    with Session(off) as session:
        assert () == session.run(RandomWalk(1), []).choices


class Noisy:
    """Takes a lock when it goes."""

    def __init__(self, lock: threading.Lock) -> None:
        self.lock = lock

    def __del__(self) -> None:
        with self.lock:
            pass


def finalizers() -> None:
    lock = threading.Lock()
    rings: list[int] = []

    def ring() -> None:
        with lock:
            rings.append(1)

    def work() -> None:
        thing = Noisy(lock)
        weakref.finalize(thing, ring)
        with lock:
            pass

    zoo.together(work, work)


@both
def test_finalizers_replay(backend: str) -> None:
    """What a finalizer does belongs to the task that dropped the last reference, and replays."""
    target, strategy = of(finalizers), RandomWalk(3)
    with Session(target, backend) as session:
        for _ in range(10):
            first, second = Log(), Log()
            outcome = session.run(strategy, [first, *target.detectors()])
            session.run(Replay(outcome.choices), [second, *target.detectors()], backend=THREADS)

            assert first.steps == second.steps
            assert outcome.finding is None


@both
def test_finalizers_of_a_task_that_is_taken_down(
    backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """They end with their task, without a word on stderr."""

    def body() -> None:
        lock = threading.Lock()

        def wait() -> None:
            thing = Noisy(lock)
            threading.Event().wait()
            del thing

        threading.Thread(target=wait, daemon=True).start()
        time.sleep(1)

    state = explore(of(body), RandomWalk(0, stay=0.0), executions=20, backend=backend)

    assert Verdict.NOT_FOUND == state.verdict
    assert "" == capsys.readouterr().err


def test_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    """`--check-determinism` stops with exit code 4 and says why."""
    pytest.importorskip("numpy")  # the umbrella command loads all packages
    from stress.cli import main

    code = main(["explore", "tests.verify.test_determinism:state_kept", "--check-determinism"])
    out = capsys.readouterr().out

    assert code == 4
    assert "two runs of one schedule differ at step" in out
    assert "state kept between runs" in out
