"""Measures ploom: `check`, a depth-first search that starts a process for each schedule.

At its tenth of a second and more an execution it gets at least two seconds. It tells executions,
steps and time itself, in the error that says the search was not complete.
"""

from __future__ import annotations

import ploom  # type: ignore[import-not-found] # lives in its own environment

from bench.peer_programs.telling import SECTIONS, TIMES, Told, job, tell


def sections() -> None:
    """Two threads, three sections each under one lock."""
    lock = ploom.Lock()

    def work() -> None:
        for _ in range(TIMES):
            with lock:
                pass

    threads = [ploom.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def counter() -> None:
    """Two threads, three unprotected increments each of a cell."""
    cell = ploom.SharedCell(0)

    def work() -> None:
        for _ in range(TIMES):
            cell.write(cell.read() + 1)

    threads = [ploom.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> None:
    """Search until the time is over."""
    todo = job()
    limits = ploom.Config(timeout=max(todo.seconds, 2.0), max_executions=1_000_000)
    try:
        found = ploom.check(sections if todo.program == SECTIONS else counter, config=limits)
    except ploom.IncompleteExplorationError as limit:
        found = limit.statistics
    tell(Told(found.executions, found.elapsed, found.steps))


if __name__ == "__main__":
    main()
