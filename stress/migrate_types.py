"""What goes into `stress.migrate.migrate` and what comes out: plain values.

Promises: `MigrateOptions.check` refuses every value the run could not work with; `MigrateResult`
says everything that `stage3 migrate` prints. Does not: run anything.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import pathlib
from typing import Final

from mig import designs, transport
from mig.vcpu.guests import log_for
from mig.vcpu.x86 import GuestError
from stress import migrate_ways
from stress.migration.workloads import SHAPES, Load
from stress.watchdog import EXIT_HANG
from verify.abc import UsageError

PAGE: Final = 4096
MAX_RAM: Final = 16 << 30
MAX_SPARSE: Final = 256 << 30
MAX_VCPUS: Final = 256
EXIT_EQUAL: Final = 0
EXIT_DIFFERENT: Final = 1
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def sized(text: str) -> int:
    """Bytes for `512`, `64K`, `16M` or `1G`; raises `argparse.ArgumentTypeError`."""
    unit = text[-1:].upper() if text[-1:].isalpha() else ""
    number = text[: len(text) - len(unit)]
    if unit not in _UNITS or not (number.isascii() and number.isdigit() and len(number) < 16):
        raise argparse.ArgumentTypeError(f"{text!r} is no size; use a number and K, M or G")
    return int(number) * _UNITS[unit]


class MigrateInputError(UsageError):
    """Something given to the migration that it cannot work with; the text says what to do."""


@dataclasses.dataclass(frozen=True, slots=True)
class MigrateOptions:
    """One migration. Sizes are bytes, times seconds, rates per second."""

    image: pathlib.Path | None = None
    """Raw image or QEMU stream, plain or gzip; None makes up a guest of `ram` bytes."""
    ram: int = 16 << 20
    vcpus: int = 2
    design: str = "thread"
    uri: str = "tcp:127.0.0.1:0"
    """How the two meet (`stress.migrate_ways`); port 0 chooses a free one."""
    max_bandwidth: int = 32 << 20
    """Bytes per second; 32 MiB/s was the default of July 2012."""
    downtime_limit: float = 0.03
    """Seconds; 30 ms was the default of July 2012."""
    dirty_rate: int = 2000
    """Pages that all vCPUs together write each second."""
    stall_timeout: float = 10.0
    """Seconds without progress after which the run counts as hung."""
    time_limit: float = 60.0
    """Seconds after which a migration that does not converge is cancelled."""
    output: pathlib.Path = pathlib.Path("stage3-out")
    """Directory of the watchdog's report; made only when there is one."""
    load: Load | None = None
    """A guest that does what a load does, instead of the one that `image`, `ram`, `vcpus`, `dirty_rate` make."""
    drain_limit: int = (1 << 31) - 1
    """Byte budget of the last flush in the designs that have one."""
    series: pathlib.Path | None = None
    """File of figures over time, a JSON object a line."""
    guest: str = "soft"
    """Who executes: "soft" (Python), "unicorn" or "kvm" (the counting guest, machine code)."""
    dirty_log: str | None = None
    """Who finds out what was written: "accessor", "pagescan" or "kvm"; None: the guest's best."""

    def check(self) -> None:
        """Raise `MigrateInputError` for the first value that is out of range."""
        known = designs.NAMES
        if self.design not in known:
            raise MigrateInputError(
                f"unknown design {self.design!r}; choose one of {', '.join(known)}"
            )
        self._check_guest()
        if self.load is not None:
            self._check_load(self.load)
        elif self.image is None and not (0 < self.ram <= MAX_RAM and self.ram % PAGE == 0):
            raise MigrateInputError(
                f"{self.ram} bytes of RAM; give a multiple of {PAGE} up to {MAX_RAM}"
            )
        for name, value, low, high in (
            ("vcpus", self.vcpus, 0, MAX_VCPUS),
            ("max-bandwidth", self.max_bandwidth, 1, 1 << 50),
            ("downtime-limit", self.downtime_limit, 0, 2000),
            ("dirty-rate", self.dirty_rate, 0, 1 << 30),
            ("stall-timeout", self.stall_timeout, 0.1, 1 << 20),
            ("time-limit", self.time_limit, 0.1, 1 << 20),
            ("drain-limit", self.drain_limit, 1, 1 << 62),
        ):
            if not (math.isfinite(value) and low <= value <= high):
                raise MigrateInputError(f"{name} {value}; give a number from {low} to {high}")
        try:
            migrate_ways.check(self.uri)
        except transport.TransportError as error:
            raise MigrateInputError(str(error)) from None

    def _check_guest(self) -> None:
        try:
            log_for(self.guest, self.dirty_log)
        except GuestError as error:
            raise MigrateInputError(str(error)) from None
        if self.guest != "soft" and (self.image is not None or self.load is not None):
            raise MigrateInputError(
                f"guest {self.guest!r} brings its own memory; leave out --image and --shape"
            )

    @staticmethod
    def _check_load(load: Load) -> None:
        if load.shape not in SHAPES:
            raise MigrateInputError(
                f"unknown shape {load.shape!r}; choose one of {', '.join(SHAPES)}"
            )
        if not (0 < load.ram <= MAX_SPARSE and load.ram % PAGE == 0):
            raise MigrateInputError(
                f"{load.ram} bytes of RAM; give a multiple of {PAGE} up to {MAX_SPARSE}"
            )
        for name, value, low, high in (
            ("vcpus", load.vcpus, 1, MAX_VCPUS),
            ("working-set", load.working_set, 0, load.ram),
            ("dirty-rate", load.rate, 0, 1 << 30),
            ("slow-by", load.slow, 1, 1 << 20),
        ):
            if not (math.isfinite(value) and low <= value <= high):
                raise MigrateInputError(f"{name} {value}; give a number from {low} to {high}")
        content = load.resident * PAGE
        if content > MAX_RAM or load.pages > load.ram // PAGE:
            raise MigrateInputError(
                f"{content} bytes with content at both ends in a guest of {load.ram}; give a --working-set"
                f" of at most {MAX_RAM} that the guest holds"
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Figures:
    """What `info migrate` says about the source. Sizes are bytes, times milliseconds."""

    status: str
    transferred: int
    remaining: int
    total: int
    total_time: float
    downtime: float
    expected_downtime: float
    setup_time: float
    dirty_sync_count: int
    duplicate: int
    """Pages sent as zeros."""
    normal: int
    """Pages sent with content."""
    throughput: float
    """Megabits per second."""
    sync_dirty: tuple[int, ...]
    """Pages found dirty in each sync."""

    def lines(self) -> list[str]:
        """The figures in the words and units of `info migrate`."""
        return [
            f"Migration status: {self.status}",
            f"total time: {self.total_time:.0f} ms",
            f"downtime: {self.downtime:.1f} ms",
            f"expected downtime: {self.expected_downtime:.1f} ms",
            f"setup: {self.setup_time:.1f} ms",
            f"transferred ram: {self.transferred // 1024} kbytes",
            f"throughput: {self.throughput:.2f} mbps",
            f"remaining ram: {self.remaining // 1024} kbytes",
            f"total ram: {self.total // 1024} kbytes",
            f"duplicate: {self.duplicate} pages",
            f"normal: {self.normal} pages",
            f"dirty sync count: {self.dirty_sync_count}",
            f"pages dirtied in each sync: {' '.join(map(str, self.sync_dirty))}",
        ]


@dataclasses.dataclass(frozen=True, slots=True)
class MigrateResult:
    """How one migration ended."""

    figures: Figures
    error: str | None = None
    """Why it failed; None when the destination runs the guest."""
    compared: int = 0
    """Pages compared."""
    differing: tuple[tuple[str, int], ...] = ()
    """Pages that differ: (block, byte offset)."""
    devices_compared: int = 0
    devices_differing: tuple[str, ...] = ()
    """Device sections that differ: name/instance/version."""
    converged: bool = True
    """False where the time limit came first, and the migration was cancelled for it."""
    hung: bool = False
    hang_report: pathlib.Path | None = None
    guest: str = ""
    """Which counting guest, with which dirty log; empty for a guest in Python."""
    stores_there: int | None = None
    """Stores it made at the destination; None where it was not asked."""
    rule_broken: str = ""
    """How memory at the destination breaks the counting guest's rule, before or after those stores."""

    @property
    def equal(self) -> bool:
        """Completed, and memory and device sections were compared and are equal."""
        compared = self.error is None and self.compared > 0
        counts = not self.rule_broken and self.stores_there != 0
        return compared and not self.differing and not self.devices_differing and counts

    @property
    def exit_code(self) -> int:
        """0 equal, 1 different or failed, 5 hung."""
        if self.hung:
            return EXIT_HANG
        return EXIT_EQUAL if self.equal else EXIT_DIFFERENT

    def lines(self) -> list[str]:
        """Everything to print."""
        lines = self.figures.lines()
        if self.compared:
            lines.append(f"memory: {self.compared} pages compared, {len(self.differing)} differ")
            lines.extend(
                f"  differs: {name} at {offset:#x}" for name, offset in self.differing[:10]
            )
        if self.devices_compared:
            lines.append(
                f"devices: {self.devices_compared} sections compared,"
                f" {len(self.devices_differing)} differ"
            )
            lines.extend(f"  differs: {name}" for name in self.devices_differing[:10])
        if self.stores_there is not None:
            rule = (
                f"breaks its rule: {self.rule_broken}" if self.rule_broken else "keeps to its rule"
            )
            lines.append(
                f"guest: {self.guest}; it {rule}, and made {self.stores_there} stores at the destination"
            )
        if self.error is not None:
            lines.append(f"failed: {self.error}")
        if self.hang_report is not None:
            lines.append(f"every thread's backtrace: {self.hang_report}")
        return lines
