"""Signals a program sends itself, exceptions raised in another thread, and what `threading` keeps to itself."""

from __future__ import annotations

import _thread
import ctypes
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from verify import RandomWalk, explore
from verify.detectors import Deadlock
from verify.explore import Exploration, Verdict
from verify.program import of
from verify.runtime.carriers import BACKENDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

both = pytest.mark.parametrize("backend", BACKENDS)
got: list[int] = []


@pytest.fixture(autouse=True)
def _handler() -> Iterator[None]:
    """Count SIGUSR1 for the length of a test."""
    got.clear()
    before = signal.signal(signal.SIGUSR1, lambda number, _frame: got.append(number))
    yield
    signal.signal(signal.SIGUSR1, before)


def run(body: Callable[[], object], backend: str = BACKENDS[0]) -> Exploration:
    return explore(
        of(body), RandomWalk(1), executions=100 if backend == BACKENDS[0] else 20, backend=backend
    )


def send_soon() -> threading.Thread:
    thread = threading.Thread(target=lambda: signal.raise_signal(signal.SIGUSR1))
    thread.start()
    return thread


def waits_on_a_lock() -> None:
    lock = threading.Lock()
    lock.acquire()

    def send_and_release() -> None:
        signal.raise_signal(signal.SIGUSR1)
        lock.release()

    threading.Thread(target=send_and_release).start()
    lock.acquire()
    assert not lock.acquire(blocking=False)


def waits_for_a_while() -> None:
    lock = threading.Lock()
    lock.acquire()
    before = time.monotonic()
    sender = send_soon()
    assert not lock.acquire(timeout=1.0)
    assert time.monotonic() - before >= 1.0
    sender.join()


def waits_on_a_condition() -> None:
    condition, ready = threading.Condition(), []

    def work() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        with condition:
            ready.append(True)
            condition.notify()

    threading.Thread(target=work).start()
    with condition:
        while not ready:
            condition.wait()


def sleeps() -> None:
    before = time.monotonic()
    sender = send_soon()
    time.sleep(1.0)
    assert time.monotonic() - before >= 1.0
    sender.join()


@both
@pytest.mark.parametrize("body", [waits_on_a_lock, waits_for_a_while, waits_on_a_condition, sleeps])
def test_waits_go_on(body: Callable[[], object], backend: str) -> None:
    """A handler runs once in every execution, in the main task, and the wait that it interrupted goes on."""

    def counted() -> None:
        got.clear()
        body()
        time.sleep(1)
        assert got == [signal.SIGUSR1]

    state = run(counted, backend)

    assert (Verdict.NOT_FOUND, "") == (state.verdict, state.diverged), state.groups


def stuck_on_a_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def stuck_on_a_condition() -> None:
    condition = threading.Condition()
    with condition:
        try:
            condition.wait()
        finally:
            assert condition._is_owned()  # type: ignore[attr-defined] # no public way to ask


def stuck_in_a_join() -> None:
    thread = threading.Thread(target=stuck_on_a_lock, daemon=True)
    thread.start()
    thread.join()


@both
@pytest.mark.parametrize("body", [stuck_on_a_lock, stuck_on_a_condition, stuck_in_a_join])
def test_ctrl_c_of_the_programs(body: Callable[[], object], backend: str) -> None:
    """`interrupt_main` ends the main task's wait with KeyboardInterrupt, which the program may catch."""

    def caught() -> None:
        sender = threading.Thread(target=lambda: _thread.interrupt_main())
        sender.start()
        try:
            body()
        except KeyboardInterrupt:
            got.append(1)
        sender.join()

    state = run(caught, backend)

    assert (Verdict.NOT_FOUND, "") == (state.verdict, state.diverged), state.groups
    assert state.executions == len(got)


def test_signals_without_a_name() -> None:
    """A real-time signal that only has a number reaches its handler."""
    number = signal.SIGRTMIN + 2
    before = signal.signal(number, lambda sent, _frame: got.append(sent))
    try:
        state = run(lambda: signal.raise_signal(number))
    finally:
        signal.signal(number, before)

    assert (Verdict.NOT_FOUND, [number] * state.executions) == (state.verdict, got), state.groups


@both
def test_main_has_ended(backend: str) -> None:
    """A signal that a thread sends after the main task's end reaches nobody, and the thread goes on."""
    ended: list[bool] = []

    def outlives() -> None:
        main = threading.current_thread()

        def send() -> None:
            main.join()
            signal.raise_signal(signal.SIGUSR1)
            send_soon().join()
            ended.append(True)

        threading.Thread(target=send).start()

    state = run(outlives, backend)

    assert (Verdict.NOT_FOUND, "", []) == (state.verdict, state.diverged, got), state.groups
    assert state.executions == len(ended)


@both
def test_ended_before_all_was_done(backend: str) -> None:
    """What is still posted to a task when it ends is dropped: the hang that follows is found as one."""

    def body() -> None:
        thread = threading.Thread(target=stuck_on_a_lock)
        thread.start()
        for _ in range(2):
            ctypes.pythonapi.PyThreadState_SetAsyncExc(
                ctypes.c_ulong(thread.ident or 0), ctypes.py_object(SystemExit)
            )
        thread.join()
        threading.Event().wait()

    state = run(body, backend)

    assert ({"lost wake-up"}, "") == (
        {group.finding.cause for group in state.groups.values()},
        state.diverged,
    )


def test_uncaught() -> None:
    """Not caught, it is a finding of the program's, not the end of the check."""
    state = run(lambda: _thread.interrupt_main())

    assert ["uncaught exception"] == [group.finding.cause for group in state.groups.values()]


@both
def test_exceptions_in_another_thread(backend: str) -> None:
    """`PyThreadState_SetAsyncExc` raises in a blocked thread, and says how many threads it found."""

    def body() -> None:
        def work() -> None:
            try:
                stuck_on_a_lock()
            except LookupError:
                got.append(1)

        thread = threading.Thread(target=work)
        thread.start()
        raise_in = ctypes.pythonapi.PyThreadState_SetAsyncExc
        found = raise_in(ctypes.c_ulong(thread.ident or 0), ctypes.py_object(LookupError))
        thread.join()
        # Before it enters the `try` it ends by the exception, which is told on stderr.
        assert (found, raise_in(ctypes.c_ulong(1), ctypes.py_object(LookupError))) == (1, 0)

    before = ctypes.pythonapi.PyThreadState_SetAsyncExc
    state = explore(of(body), RandomWalk(1), executions=20, backend=backend)

    assert "" == state.diverged
    assert set() == {group.finding.cause for group in state.groups.values()} - {
        "uncaught exception"
    }
    assert got
    assert before is ctypes.pythonapi.PyThreadState_SetAsyncExc


def test_dummy_threads() -> None:
    """A thread that `_thread` started is a dummy once it asks; none is left after the check."""
    seen: list[tuple[str, bool, int]] = []

    def body() -> None:
        done = threading.Event()

        def work() -> None:
            seen.append(
                (
                    threading.current_thread().name,
                    threading.current_thread().daemon,
                    threading.active_count(),
                )
            )
            done.set()

        _thread.start_new_thread(work, ())
        done.wait()

    before = dict(vars(threading)["_active"])
    state = run(body)

    assert Verdict.NOT_FOUND == state.verdict
    assert {("Dummy-1", True, 2)} == set(seen)
    assert before == vars(threading)["_active"]


def test_hooks_for_exceptions(capsys: pytest.CaptureFixture[str]) -> None:
    """A hook that fails is told on the stderr of now, and `sys.excepthook` gets what it raised."""

    def failing(_details: object) -> None:
        raise ValueError("the hook")

    def body() -> None:
        told: list[str] = []
        before = threading.excepthook, sys.excepthook
        threading.excepthook, sys.excepthook = (
            failing,
            lambda *details: told.append(str(details[1])),
        )
        try:
            thread = threading.Thread(target=lambda: 1 / 0)
            thread.start()
            thread.join()
        finally:
            threading.excepthook, sys.excepthook = before
        assert told == ["the hook"]

    quiet = replace(
        of(body), detectors=lambda: [Deadlock()]
    )  # none that takes the exception for a finding
    state = explore(quiet, RandomWalk(1), executions=1)

    assert Verdict.NOT_FOUND == state.verdict, state.groups
    assert "Exception in threading.excepthook:\n" == capsys.readouterr().err


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="3.13 keeps no such lock")
def test_the_lock_of_a_thread() -> None:
    """It is held until the thread ends, and known to the interpreter's shutdown unless the thread is a daemon."""
    locks = vars(threading).get("_shutdown_locks", set())
    before = set(locks)

    def body() -> None:
        for daemon in (False, True):
            event = threading.Event()
            thread = threading.Thread(target=event.wait, daemon=daemon)
            thread.start()
            lock = vars(threading.Thread)["_tstate_lock"].__get__(thread)
            assert (lock in vars(threading)["_shutdown_locks"]) is not daemon
            event.set()
            assert lock.acquire()
            lock.release()
            thread.join()
            assert lock not in vars(threading)["_shutdown_locks"]

    state = run(body)

    assert Verdict.NOT_FOUND == state.verdict, state.groups
    assert before == locks


def test_locks_are_what_they_were() -> None:
    """A lock's type is final; before 3.13 it makes no instances either, and `threading.Lock` is a function."""

    def body() -> None:
        kind = type(threading.Lock())
        with pytest.raises(TypeError, match="not an acceptable base type"):
            type("Mine", (kind,), {})
        if sys.version_info < (3, 13):
            with pytest.raises(TypeError, match="cannot create"):
                kind()
        assert {"_thread"} == {
            kind.__module__,
            threading.Lock.__module__,
            threading.local.__module__,
        }

    assert Verdict.NOT_FOUND == run(body).verdict


class LateError(BaseException):
    """What the alarm of a test runner raises."""


@pytest.fixture
def alarm() -> Iterator[Callable[[], object]]:
    """Return what sets an alarm of a few milliseconds, whose handler was there before the check."""

    def ring(_number: int, _frame: object) -> None:
        raise LateError

    before = signal.signal(signal.SIGALRM, ring)
    yield lambda: signal.setitimer(signal.ITIMER_REAL, 0.01)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("thread", [False, True], ids=["main", "another"])
def test_alarm_ends_the_search(alarm: Callable[[], object], *, thread: bool) -> None:
    """What a test runner's alarm raises in an endless loop is no find, so the loop is not run again without one."""
    runs = []

    def spin() -> None:
        runs.append(1)
        alarm()
        exec("while True: pass")  # noqa: S102 - no file of the program's: nothing counts its jumps

    def body() -> None:
        waiter = threading.Thread(target=spin if thread else int)
        waiter.start()
        if not thread:
            spin()
        waiter.join()

    with pytest.raises(LateError):
        explore(of(body), RandomWalk(1), executions=5)

    assert [1] == runs


def test_a_signal_of_the_programs_own(alarm: Callable[[], object]) -> None:
    """What the same handler raises is a find where the program sends the signal itself."""
    (group,) = run(lambda: signal.raise_signal(signal.SIGALRM)).groups.values()

    assert ("uncaught exception", "") == (group.finding.cause, group.doubt)
