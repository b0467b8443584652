"""The pieces of the hunt that run in worker processes: explorations and replays, as plain values in and out.

Promises: a job is a target, a strategy, a seed and a number of executions, so the same job does the
same everywhere; results hold nothing live. Workers are started fresh (spawn), never forked from a
process that has threads.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from traces import store
from traces import token as tokens
from verify import program as programs
from verify.explore import Exploration, Group, Verdict, explore, replay
from verify.strategies import PCT, STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Sequence

WORKERS = 2


@dataclass(frozen=True)
class Job:
    """One exploration: `executions` of `target` under `strategy`."""

    target: str
    strategy: str
    executions: int
    seed: int
    output: str
    bounds: tuple[int, int, int] | None = None
    """PCT's plain mode: tasks, choices, depth."""


@dataclass(frozen=True)
class Find:
    """One group of failures, or of notes, of one job. `file` is its trace, empty for a note."""

    cause: str
    message: str
    details: tuple[str, ...]
    key: tuple[str, ...]
    count: int
    first: int
    first_s: float
    file: str
    wrong: str


@dataclass(frozen=True)
class Result:
    """What one job came to."""

    job: Job
    verdict: Verdict
    executions: int
    steps: int
    seconds: float
    finds: tuple[Find, ...]
    notes: tuple[Find, ...]
    worth: str
    trouble: str
    size: tuple[int, int] = (0, 0)
    """Most tasks and most choices of an execution, where the strategy counted them."""

    @property
    def failing(self) -> int:
        """Return how many executions failed in any way."""
        return sum(find.count for find in self.finds)


def run(job: Job) -> Result:
    """Explore, and store a trace of each group of failures."""
    program = programs.load(job.target)
    if job.bounds is None:
        strategy = STRATEGIES[job.strategy](job.seed)
    else:
        tasks, choices, depth = job.bounds
        strategy = PCT(job.seed, tasks=tasks, choices=choices, depth=depth)
    state = explore(program, strategy, executions=job.executions)
    finds = [_find(group, Path(job.output)) for group in state.groups.values()]
    notes = [_find(group, None) for group in state.notes.values()]
    return Result(
        job, state.verdict, state.executions, state.steps, state.seconds, tuple(finds), tuple(notes), state.worth,
        _trouble(state),
        (strategy.most_tasks, strategy.most_choices) if isinstance(strategy, PCT) else (0, 0),
    )  # fmt: skip


def _find(group: Group, directory: Path | None) -> Find:
    file = ""
    if directory is not None and group.trace is not None:
        file = str(store.save(group.trace, directory, kind="hunt"))
    finding = group.finding
    return Find(
        finding.cause, finding.message, finding.details, (finding.cause, *finding.key), group.count, group.first,
        group.first_s, file, group.doubt,
    )  # fmt: skip


def _trouble(state: Exploration) -> str:
    return state.diverged or "; ".join(
        group.doubt for group in state.groups.values() if group.doubt
    )


def replay_file(file: str, times: int) -> tuple[int, str]:
    """Replay a stored trace `times` times; return how many were identical, and what the first other one did."""
    trace = store.load(Path(file))
    runs = replay(
        programs.load(trace.program.target), tokens.from_trace(trace), trace=trace, times=times
    )
    different = [run.difference for run in runs if not run.identical]
    return len(runs) - len(different), different[0] if different else ""


def run_all(jobs: Sequence[Job]) -> list[Result]:
    """Run jobs on both cores; results in the order of the jobs."""
    with _pool() as pool:
        return list(pool.map(run, jobs))


def replay_all(files: Sequence[str], times: Sequence[int]) -> list[list[tuple[int, str]]]:
    """Replay each file once for each number in `times`, every time in a process of its own."""
    with _pool(one_task=True) as pool:
        pending = [[pool.submit(replay_file, file, count) for count in times] for file in files]
        return [[future.result() for future in row] for row in pending]


def _pool(*, one_task: bool = False) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(
        WORKERS,
        mp_context=multiprocessing.get_context("spawn"),
        max_tasks_per_child=1 if one_task else None,
    )
