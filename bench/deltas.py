"""A guest that dirties 20,000 and 50,000 pages a second, at 128 MiB/s, plain and with XBZRLE, and QEMU beside it.

`python -m bench.deltas [--ram 512M] [--window 256M] [--cache 64M]`. The guest walks over the window and changes a
word in every page; the window has content, the rest is zeros. QEMU's guest does the same by machine code (TCG), in a
QEMU that migrates to another one over a Unix socket, in the same minutes on the same machine; without QEMU its rows are
left out. Printed are total time, downtime, syncs, bytes, pages sent as deltas and what a delta saved. A guest that does
not converge within the time limit is cancelled. Exit code 1 if memory differed.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import numpy as np

from bench import moves
from bench.qemu import paced, process
from mig.parameters import Parameters
from stress.migrate_types import sized
from stress.migration.workloads import Load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.qemu.process import Reply

RATES: Final = (20_000, 50_000)
BANDWIDTH: Final = 128 << 20
LIMIT_MS: Final = 300
FIRST: Final = 16 << 20
"""Where QEMU's guest begins to write."""
ODD: Final = 8 << 10
"""Bytes more for QEMU: a number of pages that 64 does not divide, for which its TCG loses no page."""
BOOT: Final = 0.5
"""Seconds in which QEMU's guest begins to write."""


class Row(NamedTuple):
    """How one migration ended. Times are milliseconds."""

    who: str
    rate: int
    coding: str
    ended: str
    total: float = 0.0
    downtime: float = 0.0
    syncs: int = 0
    sent: int = 0
    deltas: int = 0
    encoding: float = 0.0
    """Bytes of pages for each byte of their deltas; QEMU: in the last period."""

    def shown(self) -> str:
        """A line of the table."""
        return (
            f"{self.who:8}{self.rate:>7}  {self.coding:8}{self.ended:16}{self.total:>8.0f}{self.downtime:>9.0f}"
            f"{self.syncs:>7}{self.sent / 1e6:>9.1f}{self.deltas:>9}{self.encoding:>9.1f}"
        )


HEAD: Final = (
    f"{'':8}{'pages/s':>7}  {'coding':8}{'ended':16}{'ms':>8}{'down ms':>9}{'syncs':>7}{'MB':>9}{'deltas':>9}"
    f"{'encoding':>9}"
)


def ours(rate: int, coding: str, args: argparse.Namespace) -> Row:
    """Migrate our guest."""
    load = Load("idle", args.ram, 2, working_set=args.window, rate=rate)
    parameters = Parameters(
        max_bandwidth=BANDWIDTH, downtime_limit_ms=LIMIT_MS, xbzrle_cache_size=args.cache
    )
    with moves.destination(load) as there:
        moved = moves.move(
            there, "thread", parameters, xbzrle=coding == "xbzrle", time_limit=args.time_limit
        )
    info, cache = moved.info, moved.info.xbzrle_cache
    ended = {"cancelled": "no end"}.get(info.status, info.status)
    if info.status == "completed" and not moved.equal:
        ended = "memory differs"
    encoded = cache.pages * paced.PAGE / cache.bytes if cache and cache.bytes else 0.0
    deltas = cache.pages if cache else 0
    return Row(
        "stage3",
        rate,
        coding,
        ended,
        info.total_time,
        info.downtime,
        info.ram.dirty_sync_count,
        info.ram.transferred,
        deltas,
        encoded,
    )


def qemus(rate: int, coding: str, args: argparse.Namespace) -> Row:
    """Migrate QEMU's guest into another QEMU."""
    with tempfile.TemporaryDirectory(prefix="stage3-bench-") as name:
        here = pathlib.Path(name)
        (here / "firmware").write_bytes(paced.firmware(FIRST, FIRST + args.window, rate))
        (here / "there").mkdir()
        uri = f"unix:{here}/migration"
        machine = [
            "-machine",
            "pc",
            "-m",
            f"{(args.ram + ODD) >> 10}K",
            "-bios",
            f"{here}/firmware",
        ]
        with (
            process.Qemu([*machine, "-incoming", uri], here / "there") as there,
            process.Qemu(machine, here) as source,
        ):
            for each in (source, there) if coding == "xbzrle" else ():
                each.capabilities("xbzrle")
            limits = {"max-bandwidth": BANDWIDTH, "downtime-limit": LIMIT_MS}
            limits["xbzrle-cache-size"] = args.cache
            source.execute("migrate-set-parameters", **limits)
            time.sleep(BOOT)
            source.execute("migrate", uri=uri)
            return _ended(source, rate, coding, args.time_limit)


def _fill(path: pathlib.Path, window: int) -> None:
    """The content of QEMU's guest: a word in every page of the window, as ours."""
    words = np.zeros((window // paced.PAGE, paced.PAGE // 8), dtype=np.uint64)
    words[:, 1] = np.arange(1, len(words) + 1)
    with path.open("wb") as file:
        file.seek(FIRST)
        file.write(words.data)


def _ended(source: process.Qemu, rate: int, coding: str, time_limit: float) -> Row:
    until = time.monotonic() + time_limit
    found = source.migration()
    while found.get("status") != "completed" and time.monotonic() < until:
        if found.get("status") == "failed":
            raise process.QemuError(str(found))
        time.sleep(0.02)
        found = source.migration()
    ended = "completed" if found["status"] == "completed" else "no end"
    ram, cache = (cast("Reply", found.get(part, {})) for part in ("ram", "xbzrle-cache"))
    return Row(
        "QEMU",
        rate,
        coding,
        ended,
        _number(found, "total-time"),
        _number(found, "downtime"),
        int(_number(ram, "dirty-sync-count")),
        int(_number(ram, "transferred")),
        int(_number(cache, "pages")),
        _number(cache, "encoding-rate"),
    )


def _number(reply: Reply, name: str) -> float:
    value = reply.get(name, 0)
    return float(value) if isinstance(value, int | float) else 0.0


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.deltas")
    parser.add_argument("--ram", type=sized, default=512 << 20, help="memory of the guest (512M)")
    parser.add_argument("--window", type=sized, default=256 << 20, help="what it writes to (256M)")
    parser.add_argument("--cache", type=sized, default=64 << 20, help="xbzrle-cache-size (64M)")
    parser.add_argument("--time-limit", type=float, default=15.0, help="seconds to converge (15)")
    parser.add_argument("--rate", type=int, action="append", help="pages/s; again for more")
    args = parser.parse_args(argv)
    if not 0 < args.window <= args.ram - FIRST:
        parser.error(f"--window {args.window}: give at most {args.ram - FIRST}, the rest of --ram")
    print(HEAD)
    differ = False
    for rate in args.rate or RATES:
        for coding in ("plain", "xbzrle"):
            rows = [ours(rate, coding, args)]
            rows += [qemus(rate, coding, args)] if process.present() else []
            for row in rows:
                print(row.shown(), flush=True)
                differ = differ or row.ended == "memory differs"
    return int(differ)


if __name__ == "__main__":
    sys.exit(main())
