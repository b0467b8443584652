"""Models against the real primitives: the same operations give the same results and the same errors.

Each test draws a sequence of operations for one thread, runs it on the real object outside a check and
on the model inside one, and compares what every operation returned or raised. Waits that would block
have a short time-out, which is virtual for the model.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verify import RandomWalk
from verify.program import of
from verify.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

Operation = tuple[str, tuple[Any, ...], dict[str, Any]]
Outcome = tuple[str, object]

TINY = 0.0005


def op(name: str, *args: object, **kwargs: object) -> Operation:
    return name, args, kwargs


def run(make: Callable[[], object], operations: list[Operation]) -> list[Outcome]:
    """Carry out the operations on a fresh object and return what came of each."""
    target = make()
    outcomes: list[Outcome] = []
    for name, args, kwargs in operations:
        try:
            result = getattr(target, name)(*args, **kwargs)
        except Exception as error:  # noqa: BLE001 - errors are compared, too
            outcomes.append(("raised", (type(error).__name__, str(error))))
        else:
            outcomes.append(("returned", None if result is target else result))
    return outcomes


class Model:
    """Runs operations inside a check; one session serves all of a test's sequences."""

    def __init__(self) -> None:
        self.job: Callable[[], object] = list
        self.program = of(lambda: self.job())

    def run(
        self, session: Session, make: Callable[[], object], operations: list[Operation]
    ) -> list[Outcome]:
        """Do in a controlled task what `run` does."""
        outcomes: list[Outcome] = []
        self.job = lambda: outcomes.extend(run(make, operations))
        strategy = RandomWalk(0)
        strategy.new_execution()
        outcome = session.run(strategy, self.program.detectors())
        assert outcome.finding is None, outcome.finding
        return outcomes


LOCK = [
    op("acquire", False), op("acquire", timeout=TINY), op("acquire", True, TINY), op("release"), op("locked"),
    op("__enter__"), op("__exit__", None, None, None), op("acquire", False, 1.0), op("acquire", True, -2),
]  # fmt: skip
RLOCK = [
    op("acquire", False),
    op("acquire"),
    op("acquire", timeout=TINY),
    op("release"),
    op("__enter__"),
    op("acquire", False, 1),
]
EVENT = [
    op("set"),
    op("clear"),
    op("is_set"),
    op("wait", TINY),
    op("wait", 0),
    op("wait", timeout=-1),
]
SEMAPHORE = [
    op("acquire", False), op("acquire", timeout=TINY), op("release"), op("release", 2), op("release", 0),
    op("acquire", False, 1), op("acquire", True, TINY),
]  # fmt: skip
QUEUE = [
    op("put_nowait", 3), op("put_nowait", 1), op("put", 2, timeout=TINY), op("get_nowait"), op("get", True, TINY),
    op("qsize"),
    op("empty"), op("full"), op("task_done"), op("put", 5, False), op("get", timeout=-1), op("put", 5, timeout=-1),
]  # fmt: skip
SIMPLE = [
    op("put", 1),
    op("put_nowait", 2),
    op("get_nowait"),
    op("get", True, TINY),
    op("qsize"),
    op("empty"),
    op("get", timeout=-1),
]
CONDITION = [
    op("acquire"), op("release"), op("wait", TINY), op("wait", 0), op("notify"), op("notify", 2), op("notify_all"),
    op("__enter__"), op("__exit__", None, None, None), op("wait_for", bool, TINY), op("wait_for", lambda: True),
]  # fmt: skip
BARRIER = [op("wait", TINY), op("abort"), op("reset")]

CASES: dict[str, tuple[Callable[[], object], list[Operation]]] = {
    "Lock": (lambda: threading.Lock(), [each for each in LOCK if each[0] != "__enter__"]),
    "RLock": (lambda: threading.RLock(), RLOCK),
    "Event": (lambda: threading.Event(), EVENT),
    "Semaphore": (lambda: threading.Semaphore(2), SEMAPHORE),
    "BoundedSemaphore": (lambda: threading.BoundedSemaphore(2), SEMAPHORE),
    "Queue": (lambda: queue.Queue(2), QUEUE),
    "LifoQueue": (lambda: queue.LifoQueue(2), QUEUE),
    "PriorityQueue": (lambda: queue.PriorityQueue(2), QUEUE),
    "SimpleQueue": (lambda: queue.SimpleQueue(), SIMPLE),
    "Condition": (
        lambda: threading.Condition(),
        [each for each in CONDITION if each[0] != "acquire"],
    ),
    "Barrier": (lambda: threading.Barrier(2), BARRIER),
    "Barrier of one": (lambda: threading.Barrier(1), BARRIER),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_same_outcomes(name: str) -> None:
    """Every drawn sequence of operations has the outcomes of the real object."""
    make, operations = CASES[name]

    model = Model()

    with Session(model.program) as session:

        @settings(max_examples=60)
        @given(st.lists(st.sampled_from(operations), max_size=12))
        def check(sequence: list[Operation]) -> None:
            assert run(make, sequence) == model.run(session, make, sequence)

        check()


@pytest.mark.parametrize(
    ("make", "arguments"),
    [
        (threading.Semaphore, (-1,)),
        (threading.BoundedSemaphore, (-1,)),
        (threading.Barrier, (0,)),
        (threading.Thread, ("group",)),
    ],
)
def test_same_constructor_errors(
    make: Callable[..., object], arguments: tuple[object, ...]
) -> None:
    """What the real class refuses to make, the model refuses in the same words."""

    def attempt() -> list[str]:
        try:
            make(*arguments)
        except Exception as error:  # noqa: BLE001 - errors are compared
            return [type(error).__name__, str(error)]
        return ["made"]

    inside: list[str] = []
    program = of(lambda: inside.extend(attempt()))
    with Session(program) as session:
        strategy = RandomWalk(0)
        strategy.new_execution()
        session.run(strategy, program.detectors())

    assert attempt() == inside
