"""`stage3 stress TARGET ...`: the command line of a stress job.

Promises: the seed is printed before anything runs; each problem ends with the line that repeats it; exit codes
are those of `outcome`, 2 for bad input (one line, nothing lost) and 130 for an interrupt or SIGTERM, which
end the job with all that was found until then.
"""

from __future__ import annotations

import argparse
import re
import secrets
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stress import ci
from stress.interrupts import terminable
from stress.jobs import noise, targets
from stress.jobs.job import run_job
from stress.jobs.outcome import workers_started
from stress.jobs.progress import choose, span
from stress.jobs.settings import DEFAULT_LIMIT_S, DEFAULT_WORKERS, MOST_SEED, SLOWEST, Settings
from traces import store
from traces.artifacts import write_index
from traces.errors import TraceError
from traces.text import plain
from verify.abc import UsageError
from verify.cli import refuse
from verify.supervise import Shard

if TYPE_CHECKING:
    from stress.jobs.outcome import JobResult, Problem

INTERRUPTED: Final = 130
DEFAULT_COUNT: Final = 100
MOST_WORKERS: Final = 256
MOST_COUNT: Final = 10**12
MOST_SHOWN: Final = 20
UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION: Final = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d)?")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `stress` to the commands of `stage3`."""
    parser = subparsers.add_parser(
        "stress",
        help="run a test, a function or a command many times on real threads",
        description="Runs targets many times on real threads, in workers that may crash or hang; keeps what failed.",
        epilog="Exit codes: 0 all passed, 1 a run failed, 4 nothing was run, 5 a run hung; 2 bad input.",
    )
    parser.add_argument(
        "targets",
        nargs="*",
        metavar="TARGET",
        help="tests/test_x.py::test_y, module:function, migration:NAME; a command goes behind --",
    )
    parser.add_argument(
        "--count", type=count, metavar="N", help=f"runs of each target (default {DEFAULT_COUNT})"
    )
    parser.add_argument(
        "--duration", type=duration, metavar="T", help="begin runs for so long: 90, 10m, 1h30m"
    )
    parser.add_argument(
        "--until-failure", action="store_true", help="stop at the first run that does not pass"
    )
    parser.add_argument(
        "--workers",
        type=workers,
        default=DEFAULT_WORKERS,
        metavar="N",
        help=f"processes side by side ({DEFAULT_WORKERS})",
    )
    parser.add_argument(
        "--shard", metavar="I/N", help="only every N-th run, beginning with the I-th"
    )
    parser.add_argument(
        "--resume", type=Path, metavar="FILE", help="go on with the journal of an earlier job"
    )
    parser.add_argument(
        "--seed", type=seed, metavar="N", help="seed of the first run (default: drawn, and printed)"
    )
    parser.add_argument(
        "--limit",
        type=limit,
        default=DEFAULT_LIMIT_S,
        metavar="S",
        help=f"a run without progress for S seconds hangs ({DEFAULT_LIMIT_S:g})",
    )
    parser.add_argument(
        "--time-limit",
        type=duration,
        metavar="T",
        help=f"a run of more than T hangs, too ({SLOWEST} x the limit)",
    )
    parser.add_argument(
        "--output", type=Path, default=store.DIRECTORY, metavar="DIR", help="where the folder goes"
    )
    parser.add_argument("--junit", type=Path, metavar="FILE", help="write a JUnit XML file, too")
    parser.add_argument(
        "--no-record", action="store_true", help="no recorder: hang reports have stacks alone"
    )
    noise.add_options(parser)


def count(text: str) -> int:
    """Return a number of runs."""
    if not (
        text.isascii() and text.isdecimal() and 0 < int(text[:20]) <= MOST_COUNT and len(text) < 14
    ):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of runs: say for example 100")
    return int(text)


def workers(text: str) -> int:
    """Return a number of worker processes."""
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:9]) <= MOST_WORKERS):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of workers from 1 to {MOST_WORKERS}"
        )
    return int(text)


def seed(text: str) -> int:
    """Return a seed."""
    if not (text.isascii() and text.isdecimal() and len(text) < 12 and int(text) < MOST_SEED):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a whole number from 0 to {MOST_SEED - 1}"
        )
    return int(text)


def limit(text: str) -> float:
    """Return a number of seconds above 0, at most a day."""
    value = noise.number(text)
    if not 0 < value <= 86400:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of seconds above 0, at most a day"
        )
    return value


def duration(text: str) -> float:
    """Return `90`, `90s`, `10m`, `1h30m` as seconds."""
    parts = DURATION.findall(text)
    total = sum(float(number) * UNITS[unit or "s"] for number, unit in parts)
    if "".join(number + unit for number, unit in parts) != text or total <= 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no duration: say for example 90, 10m or 1h30m"
        )
    return total


def settings_of(args: argparse.Namespace) -> Settings:
    """Return the job that parsed arguments ask for; `args.behind` is what stood behind `--`."""
    named = targets.parse(args.targets, getattr(args, "behind", ()))
    noisy = noise.of(args)
    if noisy.slow_vcpus and not all(target.kind is targets.Kind.MIGRATION for target in named):
        raise UsageError("--slow-vcpus is for migration:NAME alone; leave it out")
    if noisy.delays and args.no_record:
        raise UsageError("--delays come from the recorder; leave --no-record out")
    if args.resume is not None and args.seed is None:
        raise UsageError(
            "--resume needs the seed of the job it goes on with; give --seed as that job printed it"
        )
    runs = args.count
    if runs is None and args.duration is None and not args.until_failure:
        runs = DEFAULT_COUNT
    return Settings(
        named,
        args.output,
        seed=secrets.randbelow(MOST_SEED) if args.seed is None else args.seed,
        count=runs,
        duration_s=args.duration,
        workers=args.workers,
        until_failure=args.until_failure,
        shard=Shard.parse(args.shard) if args.shard is not None else Shard(),
        resume=args.resume,
        limit_s=args.limit,
        time_limit_s=args.time_limit,
        noise=noisy,
        record=not args.no_record,
        junit=args.junit,
    )


def run(args: argparse.Namespace) -> int:
    """Run a job and say what it came to; return the exit code."""
    try:
        settings = settings_of(args)
        ci.check(settings)
        say(f"seed {settings.seed}")
        with terminable() as interrupts:
            progress = choose(settings.total, settings.duration_s)
            result = run_job(settings, progress, lambda: bool(interrupts))
            ci.publish(result)
        with suppress(TraceError):  # the job's own page is there; what lists it need not be
            write_index(settings.output)
    except UsageError as error:
        return refuse("stress", error)
    for line in lines(result):
        say(line)
    return INTERRUPTED if result.interrupted else result.exit_code


def say(line: str) -> None:
    """Print a line at once: what reads it may be a log."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def lines(result: JobResult) -> list[str]:
    """Return what is said at the end."""
    settings = result.settings
    rate = (result.done - result.resumed) / result.seconds if result.seconds else 0.0
    noises = " ".join(settings.noise.words()) or "none"
    pace = f"{span(result.seconds)} ({rate:,.1f}/s)"
    first, *more = result.verdict.splitlines()
    # Behind a bar: GitHub takes a line for a command although blanks come first.
    said = [plain(first), *(f"  | {plain(line)}" for line in more)]
    said.append(f"  {result.done:,} runs in {pace}, {workers_started(result)}, noise: {noises}")
    if result.resumed:
        said.append(f"  {result.resumed:,} of them remembered by {result.journal}")
    said += [
        f"  {plain(target)}: {many:,} runs skipped"
        for target, many in sorted(result.skipped.items())
    ]
    said += [f"  {many:,} runs: {plain(note)}" for note, many in result.notes.most_common(5)]
    for problem in result.problems[:MOST_SHOWN]:
        said += _about(problem, result)
    if len(result.problems) > MOST_SHOWN:
        said.append(f"... and {len(result.problems) - MOST_SHOWN} more")
    said.append(f"all of it: {result.folder / ci.PAGE}")
    if result.interrupted or result.stopped:
        said.append(f"go on:  {settings.resumed(result.journal)}")
    return said


def _about(problem: Problem, result: JobResult) -> list[str]:
    said = ["", f"{problem.target}: {problem.headline}"]
    for name, suffix in (("report: ", ".txt"), ("page:   ", ".html")):
        files = [file for file in problem.files if file.endswith(suffix)]
        said += [f"  {name}{result.folder / file}" for file in files]
    if problem.folder:
        said.append(f"  kept:   {result.folder / problem.folder}")
    return [plain(line) for line in said] + [f"  again:  {problem.again}"]
