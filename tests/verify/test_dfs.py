"""Depth-first search: every schedule once, fewest preemptions first, and no claim beyond what was run."""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from bench.programs import BY_NAME, locked, racy
from verify import DFS, Settings, Verdict, draw, explore
from verify.program import of, of_code
from verify.session import Session
from verify.strategies import Replay, dfs

from . import zoo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import T


class Prefix(Replay):
    """Makes the choices given, then the first one each time; notes how many there were."""

    def __init__(self, choices: list[int]) -> None:
        super().__init__(choices, strict=False)
        self.made: list[int] = []
        self.counts: list[int] = []

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Choose, and note."""
        order = sorted(
            enabled, key=lambda task: (task is not current or not task.runnable, task.index)
        )
        at = len(self.made)
        self.made.append(self.choices[at] if at < len(self.choices) else 0)
        self.counts.append(len(order))
        return order[self.made[-1]]

    def draw(self, bound: int) -> int:
        """Draw, and note."""
        at = len(self.made)
        self.made.append(self.choices[at] if at < len(self.choices) else 0)
        self.counts.append(bound)
        return self.made[-1]


def brute_force(body: zoo.Program) -> Counter[tuple[int, ...]]:
    """Return every schedule of a small program, by counting up the last choice that can be."""
    program = of(body)
    found: Counter[tuple[int, ...]] = Counter()
    prefix: list[int] | None = []
    with Session(program) as session:
        while prefix is not None:
            strategy = Prefix(prefix)
            found[session.run(strategy, program.detectors()).choices] += 1
            prefix = None
            for at in range(len(strategy.made) - 1, -1, -1):
                if strategy.made[at] + 1 < strategy.counts[at]:
                    prefix = [*strategy.made[:at], strategy.made[at] + 1]
                    break
    return found


def depth_first(body: zoo.Program) -> Counter[tuple[int, ...]]:
    """Return every schedule that the strategy runs."""
    program = of(body)
    strategy = DFS()
    found: Counter[tuple[int, ...]] = Counter()
    with Session(program) as session:
        while strategy.new_execution():
            found[session.run(strategy, program.detectors()).choices] += 1
    assert strategy.complete
    return found


def test_frontier_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frontier that is full leaves alternatives out: fewer schedules are run, and completeness is not claimed."""
    every = depth_first(zoo.abba_ordered)
    monkeypatch.setattr(dfs, "MOST_FRONTIER", 2 * dfs.ITEM_BYTES)
    strategy = DFS()
    state = explore(of(zoo.abba_ordered), strategy, executions=None)

    assert Verdict.NOT_FOUND == state.verdict
    assert len(every) > state.executions
    assert "at most 0 preemptions" in state.worth
    assert dfs.NO_ROOM in state.worth


def timed_wait() -> None:
    ready = threading.Event()
    zoo.together(lambda: ready.wait(0.1), ready.set)


def tries() -> None:
    lock = threading.Lock()

    def attempt() -> None:
        if lock.acquire(blocking=False):
            lock.release()

    zoo.together(attempt, attempt)


def sleeps() -> None:
    zoo.together(lambda: time.sleep(1), lambda: time.sleep(0))


def hands_over() -> None:
    items: queue.Queue[int] = queue.Queue()
    zoo.together(items.get, lambda: items.put(1))


def draws() -> None:
    zoo.together(lambda: draw(3), lambda: draw(2))


@pytest.mark.parametrize(
    "body",
    [
        zoo.lost_wakeup,
        timed_wait,
        tries,
        sleeps,
        hands_over,
        draws,
        racy.stringbuffer,
        locked.deadlock01,
        zoo.dead_owner,
    ],
    ids=lambda body: body.__name__,
)
def test_equals_brute_force(body: zoo.Program) -> None:
    """Every schedule is run, and none twice: time-outs, yields, failed tries, draws and deadlocks included."""
    assert brute_force(body) == depth_first(body)


def test_fewest_preemptions_first() -> None:
    """The deadlock of two locks needs one preemption, and is found after all schedules without one."""
    state = explore(of(locked.deadlock01), DFS(preemptions=0), executions=100)
    assert Verdict.EXHAUSTED == state.verdict
    assert "every schedule with at most 0 preemptions was run, and not all with more" in state.worth

    state = explore(of(locked.deadlock01), DFS(preemptions=1), executions=100)
    assert Verdict.FOUND == state.verdict


def test_exhausted_says_so() -> None:
    """A correct program is exhausted, and the counts by preemptions add up."""
    state = explore(of(locked.deadlock01_ordered), DFS(), executions=1000)

    assert Verdict.EXHAUSTED == state.verdict
    assert state.worth.startswith("every schedule was run, at these scheduling points (3 with 0, ")


def test_learned_points_begin_anew() -> None:
    """Pairs found on the way change the tree: what was run before does not count as part of it."""
    program = BY_NAME["reorder_3"].program

    state = explore(program, DFS(), executions=40, first_only=True)
    assert Verdict.FOUND == state.verdict

    learned = program.at(state.granularity)
    again = explore(learned, DFS(), executions=40, first_only=True)
    assert Verdict.FOUND == again.verdict


def test_budget_is_no_proof() -> None:
    """A search that stops early has exhausted nothing."""
    state = explore(of(locked.deadlock01_ordered), DFS(), executions=5)

    assert Verdict.NOT_FOUND == state.verdict
    assert "every schedule with at most 0 preemptions was run" in state.worth


def test_step_bound_is_no_proof() -> None:
    """An execution that ran into the step bound was not explored beyond it."""
    program = of_code(zoo.kept_update, "t:t")
    short = program.__class__(
        program.target, program.body, program.files, settings=Settings(max_steps=6)
    )

    state = explore(short, DFS(), executions=1000)

    assert Verdict.NOT_FOUND == state.verdict
    assert "beyond the step bound" in state.worth


def draws_much() -> None:
    draw(1000)


def test_large_draws_are_no_proof() -> None:
    """Values drawn from many are not enumerated, and the search says that it left them out."""
    state = explore(of(draws_much), DFS(), executions=10)

    assert Verdict.NOT_FOUND == state.verdict
    assert "values the program draws" in state.worth


def test_unsteady_program_is_told() -> None:
    """A program that differs under the same choices stops the search as inconclusive."""
    runs: list[int] = []

    def body() -> None:
        runs.append(1)
        zoo.together(*[threading.Lock().locked] * (2 + len(runs) % 2))

    state = explore(of(body), DFS(), executions=50)

    assert Verdict.INCONCLUSIVE == state.verdict
    assert "after the same choices before" in state.diverged


@pytest.mark.parametrize("name", ["spin_good", "philosophers_try", "peterson"])
def test_polling_is_bounded(name: str) -> None:
    """Loops that give way do not lead the search astray: bounds are finished, nothing is blamed."""
    state = explore(BY_NAME[name].program, DFS(preemptions=1), executions=500)

    assert Verdict.EXHAUSTED == state.verdict
