"""CPython's own tests of `threading` and `queue`, run under the models.

Each test method runs as the main task of one execution, under a strategy that fires a timer only
when nothing else can go on, as on an idle machine. Left out are tests that need what a check does
not have, each with its reason.
"""

from __future__ import annotations

import importlib
import inspect
import threading
import unittest
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from verify import Settings
from verify.detectors import Deadlock, Livelock
from verify.program import of
from verify.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import T

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("test.lock_tests") is None,
        reason="this Python has no test package",
    ),
    pytest.mark.filterwarnings("ignore"),
]

FUTURES = "test.test_concurrent_futures"
MODULES = {
    "test.test_queue": 54,
    "test.test_threading": 140,
    f"{FUTURES}.test_thread_pool": 13,
    f"{FUTURES}.test_wait": 9,
    f"{FUTURES}.test_as_completed": 5,
    f"{FUTURES}.test_future": 18,
    f"{FUTURES}.test_shutdown": 8,
}
"""CPython's test modules, and how many of their tests run at least."""

WORDS = {
    "fork": "fork", "assert_python": "subprocess", "script_helper": "subprocess", "subprocess": "subprocess",
    "_testcapi": "thread created in C", "ctypes": "thread created in C", "interpreters": "interpreter shutdown",
}  # fmt: skip
"""A test whose source has the word is left out for the reason."""

LEFT_OUT = {
    "InterruptMainTests": "signals delivered to the real main thread",
    "ThreadJoinOnShutdown": "interpreter shutdown",
    "AtexitTests": "interpreter shutdown",
    "ExceptHookTests.test_custom_excepthook_fail": "reads stderr that the interpreter writes in C",
    "ExceptHookTests.test_excepthook_thread_None": "reads stderr that the interpreter writes in C",
    "CRLockTests.test_signature": "asks for the deprecation warning of arguments that 3.13's RLock ignores",
    "FutureTests.test_done_callback_raises": "reads logging's words on a stderr that pytest holds",
    "FutureTests.test_done_callback_raises_already_succeeded": "reads logging's words on a stderr that pytest holds",
    "ThreadTests.test_lock_no_subclass": "asks for the C type of a lock",
    "MiscTestCase.test__all__": "asks for the home module of every name",
    "ThreadTests.test_disallow_instantiation": "asks for the C type of a lock",
    "ThreadTests.test_foreign_thread": "thread created in C",
    "ThreadTests.test_ident_of_no_threading_threads": "thread created in C",
    "ThreadTests.test_limbo_cleanup": "replaces the private function that makes OS threads",
    "ThreadTests.test_no_refcycle_through_target": "counts references that last until the execution ends",
    "ThreadTests.test_shutdown_locks": "reads the private table of shutdown locks",
    "ThreadTests.test_tstate_lock": "reads the private lock of a thread state",
}


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


def cases(module_name: str) -> list[tuple[Any, str]]:
    module = importlib.import_module(module_name)
    classes = [
        kind
        for _, kind in inspect.getmembers(module, inspect.isclass)
        if issubclass(kind, unittest.TestCase)
        and (kind.__module__ == module_name or module_name.startswith(FUTURES))
        and "Process"
        not in kind.__name__  # made by a mixin for each kind of executor; fork and subprocess
    ]
    return [
        (kind, name)
        for kind in classes
        for name in unittest.defaultTestLoader.getTestCaseNames(kind)
    ]


def reason(kind: Any, name: str) -> str:
    source = inspect.getsource(getattr(kind, name))
    words = [why for word, why in WORDS.items() if word in source]
    return (
        LEFT_OUT.get(kind.__name__)
        or LEFT_OUT.get(f"{kind.__name__}.{name}")
        or (words[0] if words else "")
    )


def prepare(kind: Any) -> None:
    """Point what the class captured at import to the names of now."""
    for attribute, name in (
        ("eventtype", "Event"),
        ("locktype", "RLock" if "RLock" in kind.__name__ else "Lock"),
    ):
        if hasattr(kind, attribute):
            setattr(kind, attribute, staticmethod(getattr(threading, name)))
    if hasattr(getattr(kind, "queue", None), "Queue"):
        kind.queue = importlib.import_module("queue")


class Runner:
    """Runs one test method after the other under control, all in one session."""

    def __init__(self) -> None:
        self.job: tuple[Any, str] | None = None
        self.result = unittest.TestResult()
        self.program = replace(of(self.body), settings=Settings(max_steps=600_000, fair_steps=10))

    def body(self) -> None:
        """Run the method that is due."""
        assert self.job is not None
        kind, name = self.job
        prepare(kind)
        result = unittest.TestResult()
        kind(name).run(result)
        self.result = result

    def outcome_of(self, session: Session, kind: Any, name: str) -> str:
        """Return what went wrong, or nothing."""
        self.job = (kind, name)
        self.result = unittest.TestResult()
        outcome = session.run(RunnableFirst(), [Deadlock(), Livelock()])
        if outcome.abort is not None or outcome.finding is not None or not self.result.testsRun:
            return f"{outcome.abort or outcome.finding}"
        bad = self.result.failures + self.result.errors
        return bad[0][1] if bad else ""


PARTS = [(module, part) for module, least in MODULES.items() for part in range(1 + least // 40)]


@pytest.mark.parametrize(("module", "part"), PARTS)
def test_cpythons_own_tests(
    module: str, part: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of CPython's tests that a check can run pass; the others are left out by name and reason."""
    # Their tear-down looks for child processes and left-over threads of the whole test run, not theirs alone.
    if (
        importlib.util.find_spec(module.rpartition(".")[0]) is None
        or importlib.util.find_spec(module) is None
    ):
        pytest.skip(f"this Python comes without {module}")
    monkeypatch.setattr("test.support.reap_children", lambda: None)
    monkeypatch.setattr("test.support.print_warning", lambda _: None)
    ran = [(kind, name) for kind, name in cases(module) if not reason(kind, name)]
    assert len(ran) >= MODULES[module]
    mine = ran[part :: 1 + MODULES[module] // 40]
    runner = Runner()

    with Session(runner.program) as session:
        outcomes = {
            f"{kind.__name__}.{name}": runner.outcome_of(session, kind, name) for kind, name in mine
        }

    assert {} == {name: text for name, text in outcomes.items() if text}
