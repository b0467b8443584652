"""The figures of `info migrate` and `query-migrate`, as plain values.

Promises: `of` may be called by any thread at any time; what it returns does not change any more.
Units: sizes are bytes, times milliseconds, rates per second unless it says otherwise.
Does not: put them into words (`mig.monitor`).

Source: QEMU qapi/migration.json (`MigrationInfo`, `MigrationStats`), migration/migration.c
(`populate_ram_info`, `update_iteration_initial_status`).
"""

from __future__ import annotations

import dataclasses
import time
from typing import TYPE_CHECKING, NamedTuple

from mig.ram import PAGE_SIZE
from mig.runstate import MigrationState

if TYPE_CHECKING:
    from mig.migration import Migration
    from mig.ram_xbzrle import XbzrleStats


class RamInfo(NamedTuple):
    """What became of RAM so far."""

    transferred: int
    """Bytes of the stream that were written, devices included."""
    remaining: int
    total: int
    duplicate: int
    """Pages sent as zeros."""
    normal: int
    """Pages sent with content."""
    normal_bytes: int
    dirty_pages_rate: float
    """Pages found dirty in a second, between the last two syncs."""
    mbps: float
    """Megabits per second: in the last window, and once it has ended over the whole time."""
    dirty_sync_count: int
    """Harvests, that of the setup included."""
    page_size: int
    pages_per_second: float
    """Pages walked, in the last window."""
    precopy_bytes: int
    """Of `transferred`, what was appended before the guest was stopped."""
    downtime_bytes: int
    """Of `transferred`, the rest."""


class Info(NamedTuple):
    """One migration as it is now."""

    status: str
    """QEMU's name of the state."""
    total_time: float
    setup_time: float
    downtime: float
    """From the request to stop the guest to the last byte handed over; 0 unless completed."""
    expected_downtime: float
    cpu_throttle_percentage: int
    """How much of the time vCPUs are made to sleep; 0: none."""
    error: str | None
    """Why it failed, and what to do."""
    outcome_unknown: bool
    """It failed when the destination may already have had everything: the guest is paused here."""
    sync_dirty: tuple[int, ...]
    """Pages found newly dirty in each sync after the setup."""
    ram: RamInfo
    xbzrle_cache: XbzrleStats | None
    """None without the capability."""


class Rates:
    """Rates that need two looks; changed by the migration thread alone."""

    def __init__(self, start: float) -> None:
        self.dirty_pages = 0.0
        self.pages = 0.0
        self._syncs = 0
        self._sync_at = start
        self._walked = 0
        self._window_at = start

    def window(self, now: float, walked: int, newly: list[int]) -> None:
        """A window ends: pages `walked` so far, and pages newly dirty in each sync so far."""
        if now <= self._window_at:
            return
        self.pages = (walked - self._walked) / (now - self._window_at)
        self._walked, self._window_at = walked, now
        if len(newly) > self._syncs:
            self.dirty_pages = sum(newly[self._syncs :]) / (now - self._sync_at)
            self._syncs, self._sync_at = len(newly), now


def of(migration: Migration) -> Info:
    """The figures of a migration."""
    times = migration.times
    now = times.end if times.end is not None else time.monotonic()
    state = migration.state.value
    downtime = 0.0
    if state is MigrationState.COMPLETED and times.stop_begin is not None:
        downtime = (times.stop_end or now) - times.stop_begin
    stats = migration.ram.xbzrle_stats
    return Info(
        status=migration.shown(state),
        total_time=(now - times.start) * 1000,
        setup_time=0.0 if times.set_up is None else (times.set_up - times.start) * 1000,
        downtime=downtime * 1000,
        expected_downtime=migration.expected_downtime * 1000,
        cpu_throttle_percentage=migration.machine.cpus.throttle_percent,
        error=None if migration.error is None else str(migration.error),
        outcome_unknown=migration.outcome_unknown,
        sync_dirty=tuple(sync.newly for sync in migration.ram.syncs),
        ram=_ram(migration, now - times.start),
        xbzrle_cache=None if stats is None else dataclasses.replace(stats),
    )


def _ram(migration: Migration, seconds: float) -> RamInfo:
    ram, sent = migration.ram, migration.channel.written
    before = sent if migration.precopy_bytes is None else min(sent, migration.precopy_bytes)
    average = sent / seconds if seconds > 0 else 0.0
    return RamInfo(
        transferred=sent,
        remaining=ram.remaining,
        total=sum(block.used_length for block in ram.blocks),
        duplicate=ram.duplicate,
        normal=ram.normal,
        normal_bytes=ram.normal * PAGE_SIZE,
        dirty_pages_rate=migration.rates.dirty_pages,
        mbps=(average if migration.finished else migration.bandwidth) * 8 / 1e6,
        dirty_sync_count=ram.setup_syncs + len(ram.syncs),
        page_size=PAGE_SIZE,
        pages_per_second=migration.rates.pages,
        precopy_bytes=before,
        downtime_bytes=sent - before,
    )
