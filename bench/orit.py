"""The table posted with the series, rebuilt: four loads by the design before, by the series, and by the design now.

`python -m bench.orit [--ram 256M] [--time-limit 20]`. The limit is the 32 MiB/s of the time, the downtime limit its
30 ms; the series is `rfc_v1` with the limiter it had. Beside transferred and total time stands what they are made of:
how much of the guest had content, the bytes sent for each byte of that (2 where every page is sent twice: fault (a)),
the most that went out in a window of 100 ms for each byte of its budget (the limiter's overshoot), and the share of
all pages that the first sync found dirty. A load that does not converge within the time limit is cancelled. Each run is
a process of its own: one by the series may hang, and is then ended. Exit code 1 if a guest arrived with other memory
than it left with.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Final, NamedTuple

from bench import moves
from mig.parameters import Parameters
from mig.ram import PAGE_SIZE
from stress.migrate_types import sized
from stress.migration.workloads import Load

if TYPE_CHECKING:
    from collections.abc import Sequence

LOADS: Final = ("idle", "boot", "iozone", "stressapptest")
DESIGNS: Final = ("timer", "rfc_v1+flush-beyond-budget", "thread")
OF_THE_TIME: Final = {"max_bandwidth": 32 << 20, "downtime_limit_ms": 30}
GRACE: Final = 20.0
"""Seconds beyond its time limit after which a run hangs."""


class Row(NamedTuple):
    """One cell pair of the table. Sizes are bytes, times milliseconds."""

    load: str
    design: str
    ended: str
    transferred: int = 0
    total: float = 0.0
    downtime: float = 0.0
    content: int = 1
    """Bytes of the guest that have content."""
    window: float = 0.0
    """Most bytes in a window, for each byte of its budget."""
    first_sync: float = 0.0
    """Share of all pages that the first sync found dirty."""

    def shown(self) -> str:
        """A line of the table."""
        name = self.design.partition("+")[0]
        if self.ended == "hung":
            return f"{self.load:14}{name:8}hung"
        speed = self.transferred / self.total * 1000 / (1 << 20) if self.total else 0.0
        return (
            f"{self.load:14}{name:8}{self.ended:14}{self.transferred >> 10:>10}k{self.total:>9.0f}"
            f"{self.downtime:>9.0f}{speed:>8.1f}{self.transferred / self.content:>9.2f}"
            f"{self.window:>9.2f}{self.first_sync:>9.1%}"
        )


HEAD: Final = (
    f"{'load':14}{'design':8}{'ended':14}{'sent':>11}{'ms':>9}{'down ms':>9}{'MiB/s':>8}{'/content':>9}"
    f"{'window':>9}{'sync 1':>9}"
)


def one(shape: str, design: str, ram: int, time_limit: float) -> Row:
    """Run one migration here."""
    load = Load(shape, ram, 2)
    with moves.destination(load) as there:
        moved = moves.move(there, design, Parameters(**OF_THE_TIME), time_limit=time_limit)
    info, pages = moved.info, ram // PAGE_SIZE
    ended = {"completed": "completed", "cancelled": "no end"}.get(info.status, info.status)
    if info.status == "completed" and not moved.equal:
        ended = "memory differs"
    return Row(
        shape,
        design,
        ended,
        info.ram.transferred,
        info.total_time,
        info.downtime,
        load.resident * PAGE_SIZE,
        max(moved.meter.windows, default=0.0),
        info.sync_dirty[0] / pages if info.sync_dirty else 0.0,
    )


def apart(shape: str, design: str, ram: int, time_limit: float) -> Row:
    """Run one migration in a process of its own."""
    words = [
        "-m",
        "bench.orit",
        "--one",
        shape,
        design,
        f"--ram={ram}",
        f"--time-limit={time_limit}",
    ]
    try:
        done = subprocess.run(
            [sys.executable, *words], capture_output=True, check=True, timeout=time_limit + GRACE
        )
    except subprocess.TimeoutExpired:
        return Row(shape, design, "hung")
    return Row(*json.loads(done.stdout))


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.orit")
    parser.add_argument(
        "--one", nargs=2, metavar=("LOAD", "DESIGN"), help="this run alone, as JSON"
    )
    parser.add_argument("--ram", type=sized, default=256 << 20, help="memory of the guest (256M)")
    parser.add_argument("--time-limit", type=float, default=20.0, help="seconds to converge (20)")
    parser.add_argument("--load", action="append", choices=LOADS, help="again for more (all)")
    args = parser.parse_args(argv)
    if args.one:
        shape, design = args.one
        print(json.dumps(one(shape, design, args.ram, args.time_limit)))
        return 0
    print(HEAD)
    differ = False
    for shape in args.load or LOADS:
        for design in DESIGNS:
            row = apart(shape, design, args.ram, args.time_limit)
            print(row.shown(), flush=True)
            differ = differ or row.ended == "memory differs"
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
