"""Measures interleave-test: `explore` with its random strategy, and its decisions counted apart.

Mode `sync only` leaves this file out of what it instruments (its `exclude=`), so that only operations
on its primitives are scheduling points; `opcodes` and `lines` are its two granularities. Decisions
of an execution are counted by a strategy of our own on a few executions outside the timed ones, so
that counting slows nothing down.
"""

from __future__ import annotations

import time
from typing import Any

import interleave_test as it  # type: ignore[import-not-found] # lives in its own environment

from bench.peer_programs.telling import SECTIONS, TIMES, Told, job, tell

WARM_UP = 30


class Counter:
    """What two threads count in."""

    def __init__(self) -> None:
        """Start at zero."""
        self.n = 0


def sections() -> None:
    """Two threads, three sections each under one lock."""
    lock = it.Lock()

    def work() -> None:
        for _ in range(TIMES):
            with lock:
                pass

    for task in [it.spawn(work), it.spawn(work)]:
        task.join()


def counter() -> None:
    """Two threads, three unprotected increments each."""
    shared = Counter()

    def work() -> None:
        for _ in range(TIMES):
            shared.n += 1

    for task in [it.spawn(work), it.spawn(work)]:
        task.join()


class Counting(it.RandomStrategy):  # type: ignore[misc] # a class of a package without types here
    """The random strategy, with every decision counted, forced ones included."""

    decisions = 0

    def pick(self, runnable: Any, current: Any, index: int) -> Any:
        """Choose as the random strategy does."""
        self.decisions += 1
        return super().pick(runnable, current, index)

    def observe(self, _chosen: Any, _index: int) -> None:
        """Count a decision that left no choice."""
        self.decisions += 1


def main() -> None:
    """Explore for about the time given: as many executions as the warm-up says fit in."""
    todo = job()
    model = sections if todo.program == SECTIONS else counter
    options: dict[str, Any] = {"granularity": "line" if todo.mode == "lines" else "opcode"}
    if todo.mode == "sync only":
        options["exclude"] = [__file__]
    counting = Counting()
    it.explore(model, iterations=WARM_UP, seed=1, strategy=counting, **options)
    warm = it.explore(model, iterations=WARM_UP, seed=1, **options)
    iterations = max(1, round(WARM_UP / warm.elapsed * todo.seconds))
    start = time.perf_counter()
    result = it.explore(model, iterations=iterations, seed=2, **options)
    spent = time.perf_counter() - start
    runs = result.schedules_run
    tell(Told(runs, spent, counting.decisions / WARM_UP * runs))


if __name__ == "__main__":
    main()
