"""CPython's own tests of `threading`, `queue` and `concurrent.futures`, run under the models.

Each test method runs as the main task of one execution, under a strategy that fires a timer only
when nothing else can go on, as on an idle machine. Left out are tests that need what a check does
not have: every one by name or by a word of its source, for one of the `REASONS`.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import logging
import threading
import unittest
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from unittest import mock

from verify import Settings
from verify.detectors import Deadlock, Livelock
from verify.program import of
from verify.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from verify.abc import T

FUTURES = "test.test_concurrent_futures"
MODULES = {
    "test.test_queue": 54,
    "test.test_threading": 150,
    f"{FUTURES}.test_thread_pool": 13,
    f"{FUTURES}.test_wait": 9,
    f"{FUTURES}.test_as_completed": 5,
    f"{FUTURES}.test_future": 20,
    f"{FUTURES}.test_shutdown": 8,
}
"""CPython's test modules, and how many of their tests run at least."""

FORK, SUBPROCESS, SHUTDOWN, WALL_CLOCK, FROM_C = REASONS = (
    "fork", "subprocess", "interpreter shutdown", "wall-clock assertion", "thread created in C",
)  # fmt: skip

WORDS = {
    "os.fork": FORK, "fork_in_thread": FORK, "get_context('fork')": FORK, "_from_foreign_thread(": FORK,
    "assert_python": SUBPROCESS, "script_helper": SUBPROCESS, "subprocess": SUBPROCESS,
    "_run_and_join": SUBPROCESS, "call_in_temporary_c_thread": FROM_C,
}  # fmt: skip
"""A test whose source has the word is left out for the reason; the first word found counts."""

LEFT_OUT = {
    "AtexitTests": SHUTDOWN,
    "ThreadJoinOnShutdown": SHUTDOWN,
    "EventTests.test_at_fork_reinit": FORK,
    "SubinterpThreadingTests.test_threads_join_with_no_main": SHUTDOWN,  # a sub-interpreter's
}
"""Whole classes and single tests."""

BUSY_WAITS = frozenset({"InterruptMainTests.test_can_interrupt_tight_loops"})
"""Tests that wait in a loop without an operation: only with scheduling points at backward jumps does it end."""


class RunnableFirst:
    """Whoever ran least recently goes next; timers fire only when nothing else can go on."""

    def __init__(self) -> None:
        self.last: dict[int, int] = {}
        self.turn = 0

    def new_execution(self) -> bool:
        """Allow any number."""
        return True

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Prefer what can go on without a timer."""
        self.turn += 1
        self.last[current.index] = self.turn
        ready = [task for task in enabled if task.runnable] or enabled
        return min(ready, key=lambda task: self.last.get(task.index, 0))

    def draw(self, bound: int) -> int:
        """Draw nothing."""
        return 0


@dataclass(frozen=True)
class Case:
    """One test method of CPython's."""

    kind: type[unittest.TestCase]
    name: str

    @property
    def title(self) -> str:
        """Class and method."""
        return f"{self.kind.__name__}.{self.name}"

    @property
    def reason(self) -> str:
        """Why it is left out, or nothing."""
        source = inspect.getsource(getattr(self.kind, self.name))
        words = [why for word, why in WORDS.items() if word in source]
        return (
            LEFT_OUT.get(self.kind.__name__)
            or LEFT_OUT.get(self.title)
            or of_processes(self.kind.__name__)
            or (words[0] if words else "")
        )


def of_processes(name: str) -> str:
    """Return why a class of tests is left out that a mixin made for an executor of processes."""
    if "Process" not in name:
        return ""
    return FORK if "PoolFork" in name and "Forkserver" not in name else SUBPROCESS


def is_here(module: str) -> bool:
    """Say whether this Python comes with a test module."""
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False


def cases(module_name: str) -> list[Case]:
    """Return the test methods of a module."""
    module = importlib.import_module(module_name)
    kinds = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, unittest.TestCase)
        and (kind.__module__ == module_name or module_name.startswith(FUTURES))
    ]
    return [
        Case(kind, name)
        for kind in kinds
        for name in unittest.defaultTestLoader.getTestCaseNames(kind)
    ]


def prepare(kind: Any) -> None:
    """Point what the class captured at import to the names of now."""
    for attribute, name in (
        ("eventtype", "Event"),
        ("locktype", "_CRLock" if "RLock" in kind.__name__ else "Lock"),
    ):
        if hasattr(kind, attribute):
            setattr(kind, attribute, staticmethod(getattr(threading, name)))
    if hasattr(getattr(kind, "queue", None), "Queue"):
        kind.queue = importlib.import_module("queue")


class Runner:
    """Runs one test method after the other under control, all in one session."""

    def __init__(self, granularity: str = "sync") -> None:
        self.case: Case | None = None
        self.result = unittest.TestResult()
        settings = Settings(max_steps=600_000, fair_steps=10, granularity=granularity)
        self.program = replace(of(self.body), settings=settings)

    def body(self) -> None:
        """Run the method that is due."""
        assert self.case is not None
        prepare(self.case.kind)
        result = unittest.TestResult()
        self.case.kind(self.case.name).run(result)
        self.result = result

    def outcome_of(self, session: Session, case: Case) -> str:
        """Return what went wrong, or nothing."""
        self.case = case
        self.result = unittest.TestResult()
        outcome = session.run(RunnableFirst(), [Deadlock(), Livelock()])
        if outcome.abort is not None or outcome.finding is not None or not self.result.testsRun:
            return f"{outcome.abort or outcome.finding}"
        bad = self.result.failures + self.result.errors
        return bad[0][1] if bad else ""


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Give CPython's tests the process they expect: no handlers of the caller's on the root logger.

    What they print is dropped. Their tear-down looks for child processes and left-over threads of the whole
    process: it finds none.
    """
    root = logging.getLogger()
    handlers, root.handlers[:] = root.handlers[:], []
    try:
        with (
            mock.patch("test.support.reap_children", return_value=None),
            mock.patch("test.support.print_warning", return_value=None),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            yield
    finally:
        root.handlers[:] = handlers


def run(chosen: Iterable[Case]) -> dict[str, str]:
    """Run tests under control; return what went wrong with each by its title, or nothing."""
    chosen = list(chosen)
    done: dict[str, str] = {}
    for busy in (False, True):
        mine = [case for case in chosen if (case.title in BUSY_WAITS) is busy]
        if mine:
            runner = Runner("gil" if busy else "sync")
            if busy:
                files = tuple({inspect.getfile(case.kind) for case in mine})
                runner.program = replace(runner.program, files=files)
            with alone(), Session(runner.program) as session:
                done.update({case.title: runner.outcome_of(session, case) for case in mine})
    return done


@dataclass
class Tally:
    """What one module came to: how many passed, which failed and how, how many were left out for each reason."""

    passed: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


def tally(module: str) -> Tally:
    """Run all tests of a module that a check can run."""
    result = Tally()
    chosen = []
    for case in cases(module):
        if case.reason:
            result.left_out[case.reason] = result.left_out.get(case.reason, 0) + 1
        else:
            chosen.append(case)
    outcomes = run(chosen)
    result.failed = {title: text for title, text in outcomes.items() if text}
    result.passed = len(outcomes) - len(result.failed)
    return result
