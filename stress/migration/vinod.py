"""`stage3 vinod-2012`: the hang that was reported in July 2012, at its size, on real threads.

The report: a guest of 128 GiB with 10 vCPUs under SpecJBB; the second pass finds every page dirty again; in some
runs source and guest stand still in stage 3, after the vCPUs were stopped, with 2,386,832 kB left; never under
a debugger. Promises: design `rfc_v1` hangs here with these symptoms, by the best-supported candidate (the last
flush has a budget of 2^31 - 1 bytes that nobody refills), exactly when more than that is left at the stop; design
`thread` completes the same job, compared page by page. Two curves follow, on a guest and a budget an eighth of
that: share of hung runs against the dirty rate, and against how much the vCPUs are slowed.
Assumes: about 9 GiB of memory and, at full size, ten minutes.
Does not: say that this was the cause in 2012; it is what fits the symptoms, the code and the numbers.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stress.files import directory_for, write_whole
from stress.interrupts import terminable
from stress.migrate_types import MigrateInputError, sized
from stress.migration import guestperf, plots
from stress.migration.campaign import Job
from stress.migration.campaign import run as run_job
from verify.abc import UsageError
from verify.cli import refuse

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from stress.migration.campaign import Run

GIB: Final = 1 << 30
PAGE: Final = 4096
BUDGET: Final = (1 << 31) - 1
PASSES: Final = 0.6
"""Bytes dirtied for each byte sent, at most: with more the corrected design would not converge."""
SCALE: Final = 8
RATES: Final = (5_000, 10_000, 20_000, 40_000, 80_000)
SLOWED: Final = (1.0, 2.0, 4.0, 8.0, 16.0)

REPORTED: Final = Job(
    "specjbb",
    "rfc_v1",
    128 * GIB,
    vcpus=10,
    working_set=2900 << 20,
    rate=40_000,
    max_bandwidth=4 * GIB,
    downtime_limit=2.0,
    drain_limit=BUDGET,
    time_limit=600.0,
    limit=15.0,
)
"""The reported guest. Its speed limit was 10G, of which a wire of 2 Gbit/s took little; here it is loopback."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Something that must have come out."""

    text: str
    holds: bool


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of `stage3 vinod-2012`."""
    parser = commands.add_parser(
        "vinod-2012",
        help="the hang of July 2012 at its size: 128 GiB, 10 vCPUs, real threads",
        description="Migrates a sparse 128 GiB guest with 10 busy vCPUs by the design as posted, which hangs in"
        " stage 3, and by the corrected one, which completes; then the curves over dirty rate and slowed vCPUs.",
        epilog="exit codes: 0 everything came out as claimed, 1 something did not, 2 bad input",
    )
    add = parser.add_argument
    add(
        "--ram",
        type=sized,
        default=REPORTED.ram,
        help="memory of the guest (128G); budget and working set follow it",
    )
    add("--vcpus", type=int, default=REPORTED.vcpus, help="vCPU threads (10)")
    add("--runs", type=int, default=2, help="runs for each point of the curves (2)")
    add("--no-curves", action="store_true", help="the two migrations at full size alone")
    add(
        "--output",
        type=Path,
        default=Path("stage3-out/vinod-2012"),
        help="directory (stage3-out/vinod-2012)",
    )
    add("--json", action="store_true", help="print claims and runs as one JSON object")


def scaled(ram: int, vcpus: int) -> Job:
    """The reported job on a guest of `ram` bytes: working set, budget, speed and downtime in proportion.

    The dirty rate is the same, within what the speed allows: a pass over less memory takes less time, and dirties
    as large a part of it.
    """
    share = ram / REPORTED.ram
    return replace(
        REPORTED,
        ram=ram,
        vcpus=vcpus,
        working_set=int(REPORTED.working_set * share) // PAGE * PAGE,
        drain_limit=int(BUDGET * share),
        max_bandwidth=max(1, int(REPORTED.max_bandwidth * share)),
        downtime_limit=REPORTED.downtime_limit * share,
        rate=min(REPORTED.rate, max(1, int(REPORTED.max_bandwidth * share * PASSES / PAGE))),
        limit=REPORTED.limit if share == 1 else 8.0,
        time_limit=REPORTED.time_limit if share == 1 else 120.0,
    )


def run(args: argparse.Namespace) -> int:
    """Run everything; print, and return the exit code."""
    reported = scaled(args.ram, args.vcpus)
    curved = [] if args.no_curves else curve_jobs(args.ram // SCALE // PAGE * PAGE, args.vcpus)
    try:
        check(reported, args.runs)
        _check_curves(curved)
        directory_for("--output", args.output)
    except UsageError as error:
        return refuse("vinod-2012", error)
    output: Path = args.output
    quiet: bool = args.json
    with terminable():
        runs = [_run(job, output, quiet) for job in (reported, replace(reported, design="thread"))]
        points = [
            _run(job, output / f"curve-{number}", quiet)
            for number in range(args.runs)
            for job in curved
        ]
    claims = [*judge(*runs), *(judge_points(points) if curved else ())]
    write_whole(
        output / "index.html", plots.page("The hang of July 2012", [*runs, *points], curves(points))
    )
    _tell(claims, runs, points, output, as_json=quiet)
    return 0 if all(claim.holds for claim in claims) else 1


def check(job: Job, runs: int) -> None:
    """Raise `MigrateInputError` for what cannot be run."""
    guestperf.check(job)
    if runs < 1:
        raise MigrateInputError(f"--runs {runs}; give a number from 1")


def _check_curves(jobs: Sequence[Job]) -> None:
    try:
        for job in jobs:
            guestperf.check(job)
    except MigrateInputError as error:
        raise MigrateInputError(
            f"for the curves an eighth of --ram is taken: {error}; or say --no-curves"
        ) from None


def curve_jobs(ram: int, vcpus: int) -> list[Job]:
    """Both curves' points: the dirty rate, and the slowed vCPUs at the highest rate."""
    base = scaled(ram, vcpus)
    rates = [replace(base, rate=rate) for rate in RATES]
    return rates + [replace(base, rate=RATES[-1], slow=slow) for slow in SLOWED[1:]]


def _run(job: Job, directory: Path, quiet: bool) -> Run:  # noqa: FBT001 - of this module alone
    ended = run_job(job, directory)
    if not quiet:
        guestperf.tell(ended)
    return ended


def over_budget(ended: Run) -> bool | None:
    """Whether more was left at the stop than the budget allows; None where the guest was never stopped."""
    left = ended.left
    return None if left is None else left[1] + left[2] > ended.job.drain_limit


def judge(reported: Run, corrected: Run) -> Iterator[Claim]:
    """What the two migrations at full size must show."""
    pages = reported.job.ram // PAGE
    second = reported.syncs[0] if reported.syncs else 0
    yield Claim(
        f"rfc_v1: the second pass finds {second:,} of {pages:,} pages dirty again", second == pages
    )
    left = (reported.left or (0, 0, 0))[0] * PAGE
    yield Claim(
        f"rfc_v1 hangs in stage 3 with {left // 1024:,} kB left: {reported.cause}", reported.hung
    )
    yield Claim(
        f"that is more than the budget of {reported.job.drain_limit:,} bytes",
        over_budget(reported) is True,
    )
    yield Claim(
        "its report names a spin under the big lock",
        "spin" in reported.cause and "big_lock" in reported.cause,
    )
    yield Claim(
        f"thread completes the same job: {corrected.compared:,} pages compared, {corrected.differing} differ",
        corrected.status == "completed" and corrected.compared == pages,
    )


def judge_points(points: Sequence[Run]) -> Iterator[Claim]:
    """What the curves' runs must show: each hung exactly if more was left than the budget allows."""
    stopped = [each for each in points if over_budget(each) is not None]
    right = sum(each.hung == over_budget(each) for each in stopped)
    yield Claim(
        f"{right} of {len(points)} runs of the curves hung exactly if more was left than the budget",
        right == len(points),
    )
    yield Claim(
        f"{sum(each.hung for each in points)} of them hung, {sum(not each.hung for each in points)} did not",
        any(each.hung for each in points) and not all(each.hung for each in points),
    )


def shares(points: Sequence[Run], *, slowed: bool) -> list[tuple[float, float]]:
    """Share of hung runs for each dirty rate, or for each factor at the highest rate."""
    found: dict[float, list[bool]] = defaultdict(list)
    for each in points:
        if not slowed and each.job.slow == 1:
            found[each.job.rate].append(each.hung)
        if slowed and each.job.rate == RATES[-1]:
            found[each.job.slow].append(each.hung)
    return [(at, sum(hung) / len(hung)) for at, hung in sorted(found.items())]


def curves(points: Sequence[Run]) -> list[str]:
    """Both curves as SVG."""
    if not points:
        return []
    return [
        plots.curve("runs that hung, over the dirty rate", "pages/s", shares(points, slowed=False)),
        plots.curve(
            "runs that hung, over the factor by which vCPUs are slowed",
            "x",
            shares(points, slowed=True),
        ),
    ]


def _tell(
    claims: Sequence[Claim],
    runs: Sequence[Run],
    points: Sequence[Run],
    output: Path,
    *,
    as_json: bool,
) -> None:
    if as_json:
        value = {
            "claims": [asdict(claim) for claim in claims],
            "runs": [asdict(each) for each in (*runs, *points)],
        }
        sys.stdout.write(json.dumps(value, indent=1) + "\n")
        return
    for title, slowed in (("dirty rate", False), ("vCPUs slowed by", True)):
        for at, share in shares(points, slowed=slowed):
            sys.stdout.write(f"{title} {at:,.0f}: {share:.0%} hung\n")
    peak = max(each.peak_bytes for each in runs)
    sys.stdout.write(f"peak memory of all processes of a run: {peak / GIB:.1f} GiB\n")
    for claim in claims:
        sys.stdout.write(f"{'ok' if claim.holds else 'NOT AS CLAIMED'}: {claim.text}\n")
    sys.stdout.write(f"page: {output / 'index.html'}\n")
