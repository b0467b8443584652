"""Guests of real machine code, migrated while they count.

    python -m bench.guests                    50 migrations each of unicorn and kvm; about two minutes
    python -m bench.guests --migrations 5 --guest kvm

A migration is `stage3 migrate`: two processes, a socket between them, two vCPUs that increment byte 0 of page after
page of 16 MiB, 20,000 a second. It counts as right when every page and every register is equal by digest before the
guest's first step at the destination, memory there keeps to the guest's own rule, and every vCPU counts on and memory
keeps to the rule still. A line for each guest; a guest that is not to be had here says why. Exit code 1 if one
migration was not right.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from mig.vcpu.guests import why_not
from stress.migrate import migrate
from stress.migrate_types import MigrateOptions

if TYPE_CHECKING:
    from stress.migrate_types import MigrateResult

KINDS = ("unicorn", "kvm")


def one(kind: str, directory: Path, dirty_log: str | None = None) -> MigrateResult:
    """Migrate one guest."""
    return migrate(
        MigrateOptions(
            guest=kind,
            dirty_log=dirty_log,
            uri=f"unix:{directory / 'socket'}",
            dirty_rate=20_000,
            max_bandwidth=200 << 20,
            output=directory,
        )
    )


def run(kind: str, migrations: int, dirty_log: str | None = None) -> tuple[int, str]:
    """Migrate so many guests; how many were right, and the line that says so."""
    if (reason := why_not(kind)) is not None:
        return 0, f"{kind:8} not here: {reason}"
    results = []
    with TemporaryDirectory() as directory:
        results = [one(kind, Path(directory), dirty_log) for _ in range(migrations)]
    right = sum(result.equal for result in results)
    for result in results:
        if not result.equal:
            print(f"{kind}: not right:", *result.lines(), sep="\n  ")
    log = results[0].guest.rpartition(" ")[2]
    figures = [result.figures for result in results]
    total, down = (
        statistics.median(getattr(f, name) for f in figures) for name in ("total_time", "downtime")
    )
    syncs = statistics.median(f.dirty_sync_count for f in figures)
    stores = statistics.median(result.stores_there or 0 for result in results)
    return right, (
        f"{kind:8} {right:3} of {migrations} right, dirty log {log}; medians: {total:.0f} ms, downtime {down:.1f} ms,"
        f" {syncs:.0f} syncs, {stores:.0f} stores at the destination before it was looked at"
    )


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--migrations", type=int, default=50)
    parser.add_argument("--guest", choices=KINDS, action="append", help="only this (both)")
    parser.add_argument("--dirty-log", help="instead of the guest's best")
    args = parser.parse_args()
    wrong = 0
    for kind in args.guest or KINDS:
        right, line = run(kind, args.migrations, args.dirty_log)
        print(line, flush=True)
        wrong += "not here" not in line and right < args.migrations
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
