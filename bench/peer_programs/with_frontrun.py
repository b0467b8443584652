"""Measures frontrun: `explore` with `strategy="random"` or `"dpor"`; it does not tell its steps.

Its I/O detection is off, as the programs do none. A search that ends early (DPOR has seen all it
distinguishes) is started again until the time is over. It wants to be started by its own command.
"""

from __future__ import annotations

import threading
import time
from typing import Any

import frontrun  # type: ignore[import-not-found] # lives in its own environment

from bench.peer_programs.telling import SECTIONS, TIMES, Told, job, tell


class Shared:
    """What each execution starts from: frontrun calls it under its own locks."""

    def __init__(self) -> None:
        """Make the lock of the sections and the number of the counter."""
        self.lock = threading.Lock()
        self.n = 0


def sections(shared: Shared) -> None:
    """One thread's three sections under the lock."""
    for _ in range(TIMES):
        with shared.lock:
            pass


def counter(shared: Shared) -> None:
    """One thread's three unprotected increments."""
    for _ in range(TIMES):
        shared.n += 1


def explored(todo_program: str, strategy: str, seconds: float) -> int:
    """Return how many executions one search of at most `seconds` made."""
    options: dict[str, Any] = {"max_attempts": 1_000_000} if strategy == "random" else {}
    result = frontrun.explore(
        setup=Shared,
        workers=sections if todo_program == SECTIONS else counter,
        count=2,
        invariant=lambda _: True,
        strategy=strategy,
        detect_io=False,
        total_timeout=seconds,
        **options,
    )
    if not result.num_explored:
        raise SystemExit(f"frontrun explored nothing: {result.inconclusive_reason}")
    return int(result.num_explored)


def main() -> None:
    """Search again and again for the time given."""
    todo = job()
    explored(todo.program, todo.mode.lower(), 0.2)
    executions = 0
    start = time.perf_counter()
    while (spent := time.perf_counter() - start) < todo.seconds:
        executions += explored(todo.program, todo.mode.lower(), todo.seconds - spent)
    tell(Told(executions, spent))


if __name__ == "__main__":
    main()
