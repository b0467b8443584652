"""How many schedules each strategy needs to the first failure, beside what others have published.

    python -m bench.power           10 seeds, members up to 2,000 schedules, portfolio 10,000; 15 minutes at most
    python -m bench.power --quick   3 seeds, small programs, 200 schedules: a minute
    python -m bench.power --full    20 seeds, up to 10,000 schedules each, no limit; goes on where it was stopped

Seeds are the outer loop, so a limit of time costs seeds and not programs. A strategy that found
nothing on a program with its first three seeds is not run on it again (`0/3`). One search stops at
the first failure, at its number of schedules, or after `--each` seconds, which counts as not found. Every
result goes to a journal (with --full, or --journal FILE), and what stands there is not run again.

Cells are the median of schedules to the first failure, over all seeds (those without a find count as
infinite: `-`), and found/seeds. Published figures are means (see `bench.programs`).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING

from bench.programs import ALWAYS, BY_NAME, FAULT, PROGRAMS, SOUND, Entry
from verify import explore
from verify.strategies import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

QUICK = (
    "account",
    "bluetooth_driver",
    "deadlock01",
    "reorder_3",
    "stringbuffer",
    "twostage",
    "sync01",
    "spin_good",
)
GIVEN_UP_AFTER = 3
JOURNAL = Path("stage3-out/power.jsonl")
SOUND_RUNS = 300


@dataclass(frozen=True)
class Job:
    """One search: which program, by what, from which seed, how far."""

    program: str
    digest: str
    algorithm: str
    seed: int
    schedules: int
    seconds: float


@dataclass(frozen=True)
class Result:
    """What came of it: the number of the schedule that failed first (0: none), and what was run."""

    first: int
    schedules: int
    seconds: float


def search(job: Job) -> Result:
    """Run one search."""
    entry = BY_NAME[job.program]
    strategy = STRATEGIES[job.algorithm](job.seed)
    state = explore(
        entry.program, strategy, executions=job.schedules, seconds=job.seconds, first_only=True
    )
    first = min((group.first for group in state.groups.values()), default=0)
    return Result(first, state.executions, round(state.seconds, 3))


class Journal:
    """Results by job, kept in a file of one JSON object a line if there is one."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.results: dict[Job, Result] = {}
        if file is not None and file.exists():
            for number, line in enumerate(file.read_text().splitlines(), 1):
                self._read(line, number)

    def _read(self, line: str, number: int) -> None:
        try:
            row = json.loads(line)
            self.results[Job(**row["job"])] = Result(**row["result"])
        except (ValueError, TypeError, KeyError) as error:
            sys.exit(
                f"{self.file} line {number} is no result ({error}); delete the line, or name another --journal"
            )

    def add(self, job: Job, result: Result) -> None:
        """Keep one result."""
        self.results[job] = result
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a") as stream:
                stream.write(json.dumps({"job": asdict(job), "result": asdict(result)}) + "\n")

    def of(self, program: str, algorithm: str) -> list[Result]:
        """Return the results of one cell, by seed."""
        mine = [job for job in self.results if (job.program, job.algorithm) == (program, algorithm)]
        return [self.results[job] for job in sorted(mine, key=lambda job: job.seed)]


class Plan:
    """Which jobs there are; `args` as on the command line."""

    def __init__(self, args: argparse.Namespace, journal: Journal) -> None:
        self.args = args
        self.journal = journal
        wanted = args.programs or [entry.name for entry in PROGRAMS]
        self.entries = [entry for entry in PROGRAMS if entry.name in wanted]
        self.digests = {entry.name: entry.program.digest for entry in self.entries}

    def round(self, seed: int) -> Iterator[Job]:
        """Yield what is to be run from `seed`."""
        for entry in self.entries:
            for algorithm in self.args.strategy:
                job = self._job(entry, algorithm, seed)
                if job not in self.journal.results and not self._given_up(entry, algorithm):
                    yield job

    def _job(self, entry: Entry, algorithm: str, seed: int) -> Job:
        most = self.args.portfolio if algorithm == "portfolio" else self.args.executions
        if entry.kind == SOUND:
            most = min(most, SOUND_RUNS)
        seconds = self.args.each * (4 if algorithm == "portfolio" else 1)
        return Job(entry.name, self.digests[entry.name], algorithm, seed, most, seconds)

    def _given_up(self, entry: Entry, algorithm: str) -> bool:
        results = self.journal.of(entry.name, algorithm)
        found = any(result.first for result in results)
        return len(results) >= (1 if entry.kind != FAULT else GIVEN_UP_AFTER) and not found


def run(plan: Plan, limit: float) -> None:
    """Run what is missing, round by round, until all is there or `limit` seconds are over."""
    end = time.monotonic() + limit
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(plan.args.processes, mp_context=context) as pool:
        for seed in range(plan.args.seeds):
            jobs = list(plan.round(seed))
            for at in range(0, len(jobs), plan.args.processes):
                if time.monotonic() > end:
                    print(f"the limit of time is reached in the round of seed {seed}\n")
                    return
                batch = jobs[at : at + plan.args.processes]
                for job, result in zip(batch, pool.map(search, batch), strict=True):
                    plan.journal.add(job, result)


def median(results: Iterable[Result]) -> float:
    """Return the median of schedules to the first failure; infinite where fewer than half failed."""
    return statistics.median([result.first or inf for result in results])


def cell(results: Sequence[Result]) -> str:
    """Return what the table shows of one strategy on one program."""
    if not results:
        return "not run"
    middle = median(results)
    found = sum(bool(result.first) for result in results)
    return f"{'-' if middle == inf else f'{middle:g}'} ({found}/{len(results)})"


def figures(means: Sequence[float | None]) -> str:
    """Return published figures."""
    return " ".join("?" if mean is None else f"{mean:g}" for mean in means) or "none"


def table(plan: Plan, kind: str) -> list[str]:
    """Print the programs of one kind; return what is not as it should be."""
    entries = [entry for entry in plan.entries if entry.kind == kind]
    if not entries:
        return []
    names = plan.args.strategy
    columns = "published RW PCT3 POS URW SURW | modelled RW PCT3 POS URW"
    print(f"{kind:23}" + "".join(f"{name:>15}" for name in names) + f"  {columns}")
    wrong = []
    for entry in entries:
        cells = {name: plan.journal.of(entry.name, name) for name in names}
        known = f"{figures(entry.published)} | {figures(entry.modelled)}"
        print(f"{entry.name:23}" + "".join(f"{cell(cells[name]):>15}" for name in names) + f"  {known}")  # fmt: skip
        wrong += faults(entry, cells)
    print()
    return wrong


def faults(entry: Entry, cells: dict[str, list[Result]]) -> list[str]:
    """Return what is not as it should be with one program."""
    found = {name for name, results in cells.items() if any(result.first for result in results)}
    if entry.kind == SOUND:
        return [f"{entry.name} is correct, and {name} blames it" for name in sorted(found)]
    if entry.kind == ALWAYS:
        missed = {name for name, results in cells.items() if results} - found
        return [f"{entry.name} always fails, and {name} misses it" for name in sorted(missed)]
    mine = cells.get("portfolio")
    if not mine:
        return []
    wrong = []
    if found and "portfolio" not in found:
        wrong.append(f"{entry.name}: the portfolio misses what {', '.join(sorted(found))} found")
    best = min((median(r) for name, r in cells.items() if r and name != "portfolio"), default=inf)
    if best != inf and median(mine) > 3 * max(best, 1):
        wrong.append(
            f"{entry.name}: the portfolio's median is {median(mine):g}, the best member's {best:g}"
        )
    return wrong


def not_run(plan: Plan) -> str:
    """Say how much the limit of time left out; empty if nothing."""
    searches = sum(1 for seed in range(plan.args.seeds) for _ in plan.round(seed))
    cells = [plan.journal.of(entry.name, name) for entry in plan.entries for name in plan.args.strategy]  # fmt: skip
    if not searches:
        return ""
    return (
        f"not run within the limit of time: {searches} searches; {sum(not each for each in cells)} of "
        f"{len(cells)} cells have none; give more --minutes"
    )


def parse(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the arguments, with what --quick and --full stand for."""
    parser = argparse.ArgumentParser(prog="python -m bench.power")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true")
    size.add_argument("--full", action="store_true")
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--executions", type=int, help="most schedules of a member")
    parser.add_argument("--portfolio", type=int, help="most schedules of the portfolio")
    parser.add_argument("--minutes", type=float, help="limit of time for all")
    parser.add_argument(
        "--each",
        type=float,
        help="limit of seconds for one search; the portfolio has four times that",
    )
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--programs", nargs="+", choices=sorted(BY_NAME), metavar="NAME")
    parser.add_argument("--strategy", nargs="+", choices=STRATEGIES, default=list(STRATEGIES))
    args = parser.parse_args(given)
    seeds, members, portfolio, minutes, each = 10, 2_000, 10_000, 15.0, 5.0
    if args.quick:
        seeds, members, portfolio, minutes, each = 3, 200, 600, 2.0, 3.0
        args.programs = args.programs or list(QUICK)
    elif args.full:
        seeds, members, portfolio, minutes, each = 20, 10_000, 10_000, 1e6, 300.0
        args.journal = args.journal or JOURNAL
    args.seeds = args.seeds or seeds
    args.executions = args.executions or members
    args.portfolio = args.portfolio or portfolio
    args.minutes = args.minutes or minutes
    args.each = args.each or each
    return args


def main(given: Sequence[str] | None = None) -> int:
    """Run what is missing and print the tables; return 1 if something is not as it should be."""
    args = parse(given)
    plan = Plan(args, Journal(args.journal))
    run(plan, args.minutes * 60)
    wrong = [line for kind in (FAULT, ALWAYS, SOUND) for line in table(plan, kind)]
    left = not_run(plan)
    print("\n".join(wrong) or f"everything {'that was run ' if left else ''}is as it should be")
    if left:
        print(left)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
