"""`python -m bench.crashes`: workers that die under a search, and what a second worker costs.

Prints two things. First, 1,000 seeds, each an exploration of its own, three of which end their process: one by a
segmentation fault, one by `os._exit`, one by holding the interpreter lock for ever: how many were done, and the three
with what is known of them. Second, executions per second of CPU time (workers and their parent, start-up included) of
a divided search by two workers, as a ratio to one worker's: the same search, taking turns, the best of several rounds
of each. Exit code 1 when a seed is missing or wrongly named, or the ratio is below 0.9.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import resource
import sys
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from bench.exploration import sections
from verify import RandomWalk, explore
from verify.parallel import Search
from verify.parallel import explore as explore_divided
from verify.program import load, of
from verify.session import Session
from verify.supervise import Fate, Result, Summary, Task, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from verify.supervise import Json

SEEDS: Final = 1000
EXECUTIONS_A_SEED: Final = 20
FOR_EVER: Final = 3600
AIM: Final = 0.9


def segfault() -> None:
    """Read from address 0."""
    ctypes.string_at(0)


def leave() -> None:
    """End the process."""
    os._exit(7)


def hold() -> None:
    """Sleep for an hour with the interpreter lock held."""
    ctypes.PyDLL(None).sleep(FOR_EVER)


PLANTED: Final[dict[int, tuple[Fate, Callable[[], None]]]] = {
    111: (Fate.CRASHED, segfault),
    333: (Fate.EXITED, leave),
    777: (Fate.HUNG, hold),
}


def make(options: Mapping[str, Json]) -> Callable[[Task], Result]:
    """Return what explores a program under one seed, in a worker; the program does what is planted in that seed."""
    del options
    planted: list[Callable[[], None]] = []

    def program() -> None:
        thread = threading.Thread(target=lambda: [deed() for deed in planted])
        thread.start()
        sections()
        thread.join()

    def step(task: Task) -> Result:
        planted[:] = [PLANTED[task.seed][1]] if task.seed in PLANTED else []
        state = explore(
            checked, RandomWalk(task.seed), executions=EXECUTIONS_A_SEED, opened=session
        )
        return Result(value=state.executions)

    checked = of(program)
    session = Session(checked, learn=True)
    session.__enter__()  # for as long as the process lives
    return step


def seeds() -> Summary:
    """Run all seeds, say what became of them, and return that."""
    summary = run(
        (Task(seed, seed) for seed in range(SEEDS)),
        f"{__spec__.name}:{make.__name__}",
        batch=20,
        heartbeat_s=5,
    )
    print(
        f"{SEEDS:,} seeds of {EXECUTIONS_A_SEED} executions: {summary.counts[Fate.PASSED]:,} done, "
        f"{len(summary.bad)} lost, {summary.workers} workers started, {summary.seconds:.1f} s"
    )
    for ended in sorted(summary.bad, key=lambda ended: ended.task.seed):
        lines = (ended.report or ended.stderr).splitlines()
        place = next((line.strip() for line in lines if "crashes.py" in line), "no stack")
        print(f"  seed {ended.task.seed}: {ended.message} ({place})")
    return summary


def as_planted(summary: Summary) -> bool:
    """Whether every seed was done but those planted, and each of them is named with its fate."""
    found = {ended.task.seed: ended.fate for ended in summary.bad}
    return found == {seed: fate for seed, (fate, _) in PLANTED.items()} and (
        summary.counts[Fate.PASSED] == SEEDS - len(PLANTED)
    )


def cpu_s() -> float:
    """Return the CPU seconds of this process and of all children that have ended."""
    both = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def pace(workers: int, executions: int) -> tuple[float, float]:
    """Return executions per CPU second and per second of a divided search by so many workers."""
    program = load("bench.exploration:sections")
    search = replace(Search.of(program), strategy="random", executions=executions)
    cpu, wall = cpu_s(), time.perf_counter()
    state = explore_divided(program, search, workers=workers)
    cpu, wall = cpu_s() - cpu, time.perf_counter() - wall
    return state.executions / cpu, state.executions / wall


def ratio(executions: int, rounds: int) -> float:
    """Measure one worker and two in turn, say what came out, and return the ratio of the best of each."""
    best = {1: (0.0, 0.0), 2: (0.0, 0.0)}
    for _ in range(rounds):
        for workers, before in best.items():
            best[workers] = max(before, pace(workers, executions))
    for workers, (a_cpu_s, a_s) in best.items():
        print(
            f"{workers} worker(s): {a_cpu_s:,.0f} executions per CPU second, {a_s:,.0f} per second"
        )
    found = best[2][0] / best[1][0]
    print(f"two workers to one, per CPU second: {found:.2f} (aim >= {AIM})")
    return found


def main() -> int:
    """Do both; return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--executions", type=int, default=120_000, help="of each measured search")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    whole = as_planted(seeds())
    return 0 if ratio(args.executions, args.rounds) >= AIM and whole else 1


if __name__ == "__main__":
    sys.exit(main())
