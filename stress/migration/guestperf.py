"""`stage3 guestperf`: migrate guests under the loads that the reports of 2012 name, and plot what happened.

Promises: every shape with every design asked for, one after the other, each in processes of its own, compared
page by page at the end; a table, and a page with the figures over time. Exit code 5 when a run hung, 1 when
one failed or memory differed, else 0: a load that does not converge within the time is a result.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stress.files import directory_for, write_whole
from stress.interrupts import terminable
from stress.migrate_types import MigrateOptions, sized
from stress.migration import plots
from stress.migration.campaign import Job, Run
from stress.migration.campaign import run as run_job
from stress.migration.workloads import SHAPES, Load
from stress.watchdog import EXIT_HANG
from verify.abc import UsageError
from verify.cli import refuse

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

DESIGNS: Final = ("thread", "rfc_v1")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the parser of `stage3 guestperf`."""
    parser = commands.add_parser(
        "guestperf",
        help="migrate guests under the loads of 2012 and plot transferred, remaining, progress and downtime",
        description="Runs every shape with every design and compares memory at the end; the page of plots is"
        " index.html in the output directory.",
        epilog="exit codes: 0 all completed and equal (or did not converge in time), 1 failed or different,"
        " 2 bad input, 5 one hung (report in the output directory)",
    )
    add = parser.add_argument
    add("--shape", action="append", choices=SHAPES, help="a load; again for more (all)")
    add("--design", action="append", help=f"a design; again for more ({', '.join(DESIGNS)})")
    add("--ram", type=sized, default=256 << 20, help="memory of the guest (256M)")
    add("--vcpus", type=int, default=2, help="vCPU threads (2)")
    add("--max-bandwidth", type=sized, default=32 << 20, help="bytes/s (32M)")
    add("--downtime-limit", type=float, default=0.03, help="seconds (0.03)")
    add("--time-limit", type=float, default=60.0, help="seconds to converge (60)")
    add("--slow-by", type=float, default=1.0, help="divide the vCPUs' speed (1)")
    add(
        "--limit", type=float, default=10.0, help="seconds without progress that count as hung (10)"
    )
    add(
        "--output",
        type=Path,
        default=Path("stage3-out/guestperf"),
        help="directory (stage3-out/guestperf)",
    )
    add("--json", action="store_true", help="print the runs as one JSON list")


def run(args: argparse.Namespace) -> int:
    """Run all jobs; print, and return the exit code."""
    jobs = [
        _job(args, shape, design)
        for shape in args.shape or SHAPES
        for design in args.design or DESIGNS
    ]
    try:
        for job in jobs:
            check(job)
        directory_for("--output", args.output)
    except UsageError as error:
        return refuse("guestperf", error)
    output: Path = args.output
    runs = []
    with terminable():
        for job in jobs:
            runs.append(run_job(job, output))
            if not args.json:
                tell(runs[-1])
    write_whole(output / "index.html", plots.page("Migrations over time", runs))
    if args.json:
        sys.stdout.write(json.dumps([_json(each) for each in runs], indent=1) + "\n")
    else:
        sys.stdout.write(f"plots: {output / 'index.html'}\n")
    return exit_code(runs)


def _job(args: argparse.Namespace, shape: str, design: str) -> Job:
    return Job(
        shape,
        design,
        args.ram,
        args.vcpus,
        slow=args.slow_by,
        max_bandwidth=args.max_bandwidth,
        downtime_limit=args.downtime_limit,
        time_limit=args.time_limit,
        limit=args.limit,
    )


def check(job: Job) -> None:
    """Raise `MigrateInputError` for a job that cannot be run."""
    load = Load(job.shape, job.ram, job.vcpus, job.working_set, job.rate, job.slow)
    MigrateOptions(
        design=job.design,
        max_bandwidth=job.max_bandwidth,
        downtime_limit=job.downtime_limit,
        drain_limit=job.drain_limit,
        time_limit=job.time_limit,
        stall_timeout=job.limit,
        load=load,
    ).check()


def tell(ended: Run) -> None:
    """Print a run's line, and what there is to say of its end."""
    cells = dict(zip(plots.HEADS, plots.row(ended), strict=True))
    name, status = cells.pop("job"), cells.pop("ended")
    said = ", ".join(f"{head} {cell}" for head, cell in cells.items())
    sys.stdout.write(f"{name}: {status}; {said}\n")
    for text in (ended.cause, ended.error, ended.report and f"report: {ended.report}"):
        if text:
            sys.stdout.write(f"  {text}\n")
    sys.stdout.flush()


def exit_code(runs: Sequence[Run]) -> int:
    """0, 1 or 5, the worst of all runs."""
    if any(each.hung for each in runs):
        return EXIT_HANG
    return 1 if any(each.status == "failed" for each in runs) else 0


def _json(ended: Run) -> dict[str, object]:
    made: dict[str, object] = asdict(ended)
    return {**made, "left": ended.left, "syncs": ended.syncs}


__all__ = ["DESIGNS", "add_parser", "run"]
