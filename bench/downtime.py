"""Downtime: within the limit, how often, and whose fault when not; and what waiting for the better moment costs.

`python -m bench.downtime [--runs 20] [--ram 64M]`. For each load, `runs` migrations by design `thread` at 128 MiB/s
with a limit of 300 ms, alternating with as many by `merged`, which stops as soon as the limit allows. Printed are the
median and the worst downtime, the median of the total time, and the runs over the limit by cause:

- `engine`: what was left at the stop takes longer than the limit at the bandwidth that was measured, or the migration
  thread was on the CPU for longer than the limit;
- `delay`: neither: the time was spent waiting for a CPU.

Exit code 1 if an overrun is the engine's, or memory differed.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from bench import moves
from mig.parameters import Parameters
from stress.migrate_types import sized
from stress.migration.workloads import Load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.moves import Moved

LOADS: Final = ("idle", "boot", "iozone", "specjbb")
DESIGNS: Final = ("thread", "merged")
LIMIT_MS: Final = 300


class Summary(NamedTuple):
    """Of the runs of one load by one design. Times are milliseconds."""

    load: str
    design: str
    runs: int
    median: float
    worst: float
    total: float
    sent: int
    """Median of the bytes."""
    engine: int
    delay: int
    wrong: int
    """Runs that did not complete, or with other memory."""

    def shown(self) -> str:
        """A line of the table."""
        return (
            f"{self.load:10}{self.design:8}{self.runs:>5}{self.median:>9.1f}{self.worst:>9.1f}{self.total:>9.0f}"
            f"{self.sent / 1e6:>8.1f}{self.engine:>8}{self.delay:>7}{self.wrong:>7}"
        )


HEAD: Final = (
    f"{'load':10}{'design':8}{'runs':>5}{'down ms':>9}{'worst':>9}{'total ms':>9}{'MB':>8}"
    f"{'engine':>8}{'delay':>7}{'wrong':>7}"
)


def cause(moved: Moved, limit_ms: float) -> str | None:
    """Whose fault it is that the limit was passed; None when it was not."""
    if moved.info.downtime <= limit_ms:
        return None
    left = moved.at_stop.to_write if moved.at_stop is not None else 0
    needed = left / moved.bandwidth * 1000 if moved.bandwidth else 0.0
    if needed > limit_ms or moved.meter.stop_cpu * 1000 > limit_ms:
        return "engine"
    return "delay"


def summary(load: str, design: str, runs: Sequence[Moved]) -> Summary:
    """The line of these runs."""
    downtimes = [each.info.downtime for each in runs]
    causes = [cause(each, LIMIT_MS) for each in runs]
    return Summary(
        load,
        design,
        len(runs),
        statistics.median(downtimes),
        max(downtimes),
        statistics.median(each.info.total_time for each in runs),
        int(statistics.median(each.info.ram.transferred for each in runs)),
        causes.count("engine"),
        causes.count("delay"),
        sum(not each.equal for each in runs),
    )


def measure(shape: str, ram: int, runs: int) -> list[Summary]:
    """Migrate one load, by the designs in turn."""
    found: dict[str, list[Moved]] = {design: [] for design in DESIGNS}
    with moves.destination(Load(shape, ram, 2)) as there:
        for _ in range(runs):
            for design, done in found.items():
                done.append(moves.move(there, design, Parameters(downtime_limit_ms=LIMIT_MS)))
    return [summary(shape, design, done) for design, done in found.items()]


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.downtime")
    parser.add_argument("--runs", type=int, default=20, help="of each load by each design (20)")
    parser.add_argument("--ram", type=sized, default=64 << 20, help="memory of the guest (64M)")
    parser.add_argument("--load", action="append", choices=LOADS, help="again for more (all)")
    args = parser.parse_args(argv)
    if args.runs < 1:
        parser.error(f"--runs {args.runs}: give 1 or more")
    print(HEAD)
    bad = False
    for shape in args.load or LOADS:
        for line in measure(shape, args.ram, args.runs):
            print(line.shown(), flush=True)
            bad = bad or line.wrong > 0 or (line.design == "thread" and line.engine > 0)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
