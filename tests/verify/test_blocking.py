"""A task that is blocked where the check cannot see: named, ended, never blamed; slow Python is left alone."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING

import pytest

from verify import RandomWalk, _real, explore, watchdog
from verify.abc import CheckInconclusive
from verify.check import check
from verify.explore import Exploration, Verdict
from verify.program import of
from verify.runtime.carriers import BACKENDS, GREENLETS, THREADS
from verify.session import Session
from verify.watchdog import Blocked

from . import zoo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
both = pytest.mark.parametrize("backend", BACKENDS)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "PATIENCE_S", 0.08)
    monkeypatch.setattr(watchdog, "LOOK_S", 0.01)
    monkeypatch.setattr(watchdog, "SAMPLE_S", 0.005)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def run(body: Callable[[], object], backend: str) -> Exploration:
    return explore(of(body), RandomWalk(1), executions=3, backend=backend)


@both
def test_named_and_ended(backend: str, pipe: tuple[int, int]) -> None:
    """The report names the task, its stack and what to do; the check is inconclusive, with no find."""

    def body() -> None:
        threading.Thread(target=lambda: os.read(pipe[0], 1), name="reader").start()

    before = _real.monotonic()
    state = run(body, backend)

    assert (Verdict.INCONCLUSIVE, 4) == (state.verdict, state.exit_code)
    assert {} == state.groups
    assert state.diverged.startswith("blocked outside the check: reader (main/1) has been in one")
    assert "os.read(pipe[0], 1)" in state.diverged
    assert "no verdict on the program" in state.diverged
    assert "put a fake in their place" in state.diverged
    assert _real.monotonic() - before < 40


@both
def test_blocked_again_on_its_way_out(backend: str, pipe: tuple[int, int]) -> None:
    """A task that blocks once more while it is taken down is ended as well."""

    def body() -> None:
        try:
            os.read(pipe[0], 1)
        finally:
            os.read(pipe[0], 1)

    assert "blocked outside the check: main (main)" in run(body, backend).diverged


@both
def test_real_sockets(backend: str) -> None:
    """A socket from before the check is real, and said to be."""
    near, far = _real.socketpair()
    with near, far:
        state = run(lambda: near.recv(1), backend)

    assert "a socket made outside the code under test is real" in state.diverged


@both
def test_real_locks(backend: str) -> None:
    """So is a lock that the check could not adopt, since its own code holds it."""
    lock = _real.allocate_lock()
    lock.acquire()
    hidden = lock.acquire

    def body() -> None:
        hidden()

    state = run(body, backend)

    assert Verdict.INCONCLUSIVE == state.verdict
    assert "blocked outside the check" in state.diverged


@pytest.mark.slow
@both
def test_long_computations_in_c(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that computes gets more patience, then is named as what it is."""
    monkeypatch.setattr(watchdog, "BUSY_FACTOR", 2.0)
    monkeypatch.setattr(watchdog, "BUSY_SHARE", 0.02)  # however many others want the processor
    state = run(lambda: hashlib.pbkdf2_hmac("sha256", b"", b"", 5_000_000), backend)

    assert Verdict.INCONCLUSIVE == state.verdict
    assert "it computes in C: give it less to do in a check" in state.diverged


@both
def test_check_says_so(backend: str, pipe: tuple[int, int]) -> None:
    """`verify.check` raises it as inconclusive, and adds no guess of its own."""
    with pytest.raises(CheckInconclusive, match="blocked outside the check: main") as raised:
        check(lambda: os.read(pipe[0], 1), executions=3, backend=backend)

    assert "likely cause" not in str(raised.value)


def test_subprocesses() -> None:
    """A child process that is waited for is interrupted, and killed by its own module."""
    state = run(lambda: subprocess.run(["sleep", "20"], check=False), GREENLETS)

    assert "processes and files are not controlled" in state.diverged


def test_a_session_goes_on(pipe: tuple[int, int]) -> None:
    """After a blocked run the same session runs the next one, on either backend."""
    wait = [True]

    def body() -> None:
        if wait:
            wait.pop()
            os.read(pipe[0], 1)
        zoo.kept_update()

    program, strategy = of(body), RandomWalk(1)
    with Session(program) as session:
        for backend in (GREENLETS, THREADS, GREENLETS):
            first = session.run(strategy, program.detectors(), backend=backend)
            second = session.run(strategy, program.detectors(), backend=backend)
            wait.append(True)

            assert isinstance(first.abort, Blocked)
            assert (None, None) == (second.abort, second.finding)


def test_where_no_signal_helps(pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Off the main thread nothing interrupts the call: `on_hang` is told once, and the check goes on after it."""
    monkeypatch.setattr(watchdog, "TRIES", 3)
    told: list[str] = []
    states: list[Exploration] = []

    def on_hang(text: str) -> None:
        told.append(text)
        os.write(pipe[1], b"x")

    def check() -> None:
        body = of(lambda: os.read(pipe[0], 1))
        states.append(explore(body, RandomWalk(1), executions=1, on_hang=on_hang))

    thread = _real.Thread(target=check)
    thread.start()
    thread.join()

    assert [1] == [state.executions for state in states]
    assert ["blocked outside the check"] == [text.partition(":")[0] for text in told]


UNINTERRUPTIBLE = """
import ctypes
def body():
    mutex = ctypes.create_string_buffer(64)
    lock = ctypes.CDLL(None).pthread_mutex_lock
    lock(mutex)
    lock(mutex)
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_command_line_exits(backend: str, tmp_path: Path) -> None:
    """A call that nothing interrupts ends the command with exit code 4 and the stack."""
    pytest.importorskip("numpy")  # the umbrella command loads all packages
    (tmp_path / "held.py").write_text(UNINTERRUPTIBLE)
    run = subprocess.run(
        [sys.executable, "-m", "stress.cli", "explore", "held:body", "--backend", backend],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        timeout=30,
    )  # fmt: skip

    assert 4 == run.returncode, run.stderr
    assert "blocked outside the check" in run.stdout + run.stderr
    assert "held.py:7 body" in run.stdout + run.stderr


TRACED = """
import os, sys, threading
from verify import RandomWalk, explore
from verify.program import of
def trace(*_):
    return trace
def body():
    threading.Thread(target=os.read, args=(os.pipe()[0], 1)).start()
threading.settrace(trace)
sys.settrace(trace)
print(explore(of(body), RandomWalk(1), executions=1, backend="threads").diverged)
"""


@pytest.mark.slow
def test_under_a_tracer() -> None:
    """A tracer goes on when a thread is left behind in its call: on 3.11 an exception waiting there stops it."""
    run = subprocess.run(
        [sys.executable, "-c", TRACED], capture_output=True, text=True, check=False, timeout=50,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip

    assert 0 == run.returncode, run.stderr
    assert run.stdout.startswith("blocked outside the check: Thread-1 (read) (main/1) has been in")


def spend(work: Callable[[], object]) -> Callable[[], None]:
    def body() -> None:
        end = _real.monotonic() + 0.3
        while _real.monotonic() < end:
            work()

    return body


def sums() -> int:
    return sum(i * i for i in range(30_000))


def counts() -> None:
    for _ in range(100_000):
        pass


def sorts() -> list[int]:
    return sorted(range(10_000), key=lambda x: -x)


@pytest.mark.slow
@both
@pytest.mark.parametrize("work", [sums, counts, sorts])
def test_slow_python_is_alive(work: Callable[[], object], backend: str) -> None:
    """Pure Python that takes several times the watchdog's patience without an operation is not reported."""
    uncounted = replace(of(spend(work)), files=())
    state = explore(uncounted, RandomWalk(1), executions=1, backend=backend)

    assert Verdict.NOT_FOUND == state.verdict


END = -1


def read_end() -> None:
    os.read(END, 1)


def test_a_debugger_may_wait(pipe: tuple[int, int]) -> None:
    """Who sits at a debugger's prompt is not told that it blocks."""
    space = {"__name__": "pdb", "os": os, "END": pipe[0]}
    prompt = FunctionType(read_end.__code__, space)
    answered = _real.allocate_lock()
    answered.acquire()

    def answer() -> None:
        answered.acquire(timeout=0.3)
        os.write(pipe[1], b"c")

    thread = _real.Thread(target=answer)
    thread.start()
    state = explore(of(prompt), RandomWalk(1), executions=1)
    thread.join()

    assert (Verdict.NOT_FOUND, "") == (state.verdict, state.diverged)


def test_leaves_no_handler(pipe: tuple[int, int]) -> None:
    """The signal that interrupts is the program's again after the check."""
    before = signal.getsignal(signal.SIGURG)
    run(lambda: os.read(pipe[0], 1), GREENLETS)

    assert before is signal.getsignal(signal.SIGURG)
