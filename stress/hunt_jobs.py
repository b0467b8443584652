"""The pieces of the hunt that run in worker processes: explorations and replays, as plain values in and out.

Promises: a job is a target, a strategy, a seed and a number of executions, so the same job does the
same everywhere; results hold nothing live and come in the order of the jobs. A worker that is lost with a job ends
the hunt, with the job named. Does not: resume.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from traces import artifacts, store
from traces import token as tokens
from verify import program as programs
from verify.explore import Exploration, Group, Verdict, explore, replay
from verify.strategies import PCT, STRATEGIES
from verify.supervise import BAD, Ended, Task
from verify.supervise import Result as Answer
from verify.supervise import run as supervise

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from verify.supervise import Json
    from verify.supervise.supervisor import Event

WORKERS = 2
HEARTBEAT_S = 30.0
ALONE = True  # each replay has a process of its own


class LostJobError(Exception):
    """A job that ended its worker, or raised in it; the text says which and how."""


@dataclass(frozen=True)
class Job:
    """One exploration: `executions` of `target` under `strategy`."""

    target: str
    strategy: str
    executions: int
    seed: int
    output: str
    """Where traces go; empty: none are kept."""
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
    output = Path(job.output) if job.output else None
    finds = [_find(group, output) for group in state.groups.values()]
    notes = [_find(group, None) for group in state.notes.values()]
    return Result(
        job, state.verdict, state.executions, state.steps, state.seconds, tuple(finds), tuple(notes), state.worth,
        _trouble(state),
        (strategy.most_tasks, strategy.most_choices) if isinstance(strategy, PCT) else (0, 0),
    )  # fmt: skip


def _find(group: Group, directory: Path | None) -> Find:
    file = ""
    if directory is not None and group.trace is not None:
        file = str(artifacts.keep(group.trace, directory, kind="hunt"))
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
    answers = _in_workers(explorer, [asdict(job) for job in jobs])
    return [_result(job, answer) for job, answer in zip(jobs, answers, strict=True)]


def replay_all(files: Sequence[str], times: Sequence[int]) -> list[list[tuple[int, str]]]:
    """Replay each file once for each number in `times`, every time in a process of its own."""
    whats: list[dict[str, Json]] = [
        {"file": file, "times": count, "alone": ALONE} for file in files for count in times
    ]
    answers = cast("list[tuple[int, str]]", _in_workers(replayer, whats))
    pairs = [(identical, difference) for identical, difference in answers]
    return [pairs[at : at + len(times)] for at in range(0, len(pairs), len(times))]


def explorer(options: Mapping[str, Json]) -> Callable[[Task], Answer]:
    """Return what runs a job in a worker."""
    del options
    return lambda task: Answer(value=cast("Json", asdict(run(_job(task.what)))))


def replayer(options: Mapping[str, Json]) -> Callable[[Task], Answer]:
    """Return what replays a file in a worker."""
    del options

    def step(task: Task) -> Answer:
        identical, difference = replay_file(str(task.what["file"]), cast("int", task.what["times"]))
        return Answer(value=[identical, difference], retire=bool(task.what["alone"]))

    return step


def _in_workers(
    maker: Callable[[Mapping[str, Json]], Callable[[Task], Answer]],
    whats: Sequence[dict[str, Json]],
) -> list[Json]:
    """Return the values of one task for each of `whats`, in their order."""
    values: dict[int, Json] = {}

    def see(event: Event) -> None:
        if isinstance(event, Ended):
            if event.fate in BAD:
                said = event.report or event.stderr
                raise LostJobError(f"{event.task.what}: {event.message}\n{said}")
            values[event.task.number] = event.value

    supervise(
        [Task(number, 0, what) for number, what in enumerate(whats)],
        f"{__name__}:{maker.__name__}",
        workers=WORKERS,
        heartbeat_s=HEARTBEAT_S,
        on_event=see,
        environment=lambda _: {"PYTHONHASHSEED": "0", **os.environ},
    )
    return [values[number] for number in range(len(whats))]


def _job(what: Mapping[str, Json]) -> Job:
    bounds = cast("list[int] | None", what["bounds"])
    fields = {**what, "bounds": None if bounds is None else tuple(bounds)}
    return Job(**fields)  # type: ignore[arg-type] # what `asdict` made of one


def _result(job: Job, answer: Json) -> Result:
    fields = dict(cast("dict[str, Json]", answer))
    finds, notes = (
        tuple(map(_as_find, cast("list[dict[str, Json]]", fields[name])))
        for name in ("finds", "notes")
    )
    size = cast("tuple[int, int]", tuple(cast("list[int]", fields["size"])))
    verdict = Verdict(str(fields["verdict"]))
    known = {"job": job, "finds": finds, "notes": notes, "size": size, "verdict": verdict}
    return Result(**{**fields, **known})  # type: ignore[arg-type] # what `asdict` made of one


def _as_find(row: dict[str, Json]) -> Find:
    lists = {name: tuple(cast("list[str]", row[name])) for name in ("details", "key")}
    return Find(**{**row, **lists})  # type: ignore[arg-type] # what `asdict` made of one
