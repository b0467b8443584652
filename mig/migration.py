"""One outgoing migration: its state, its figures, and how to start, cancel and wait for it.

Promises: `start` publishes everything before the thread begins; `join` returns after the clean-up,
when the source runs the guest again or has given it away; figures may be asked for at any time by
any thread.
Assumes: a connected blocking socket, which the migration owns from its creation on.
Does not: know in which order things are done: that is the design.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mig.channel import Channel
from mig.parameters import WINDOWS
from mig.runstate import MIGRATION_TRANSITIONS, MigrationState, StateCell
from mig.savevm import SaveVm

if TYPE_CHECKING:
    from mig.cpus import Cpus
    from mig.designs.base import Design
    from mig.dirtylog import DirtyLog
    from mig.mainloop import MainLoop
    from mig.parameters import Parameters
    from mig.ram import RamList
    from mig.savevm import Registry
    from mig.tracepoints import Tracepoints
    from mig.transport import Stream


class Source(Protocol):
    """What a migration needs of the machine it moves."""

    @property
    def big_lock(self) -> threading.Lock:
        """The machine's big lock."""

    @property
    def cpus(self) -> Cpus:
        """Its vCPUs."""

    @property
    def mainloop(self) -> MainLoop:
        """Its iothread, which runs."""

    @property
    def ram(self) -> RamList:
        """Its RAM."""

    @property
    def log(self) -> DirtyLog:
        """Its shared dirty log."""

    @property
    def registry(self) -> Registry:
        """Its devices."""

    @property
    def trace(self) -> Tracepoints:
        """Its trace points."""


@dataclasses.dataclass(slots=True)
class Times:
    """When what happened, on the monotonic clock, in seconds."""

    start: float
    set_up: float | None = None
    stop_begin: float | None = None
    stop_end: float | None = None
    end: float | None = None


class AtStop(NamedTuple):
    """What the last round found: pages still dirty, stream bytes to write, and written in the window so far."""

    pages: int
    to_write: int
    written: int


class Info(NamedTuple):
    """The figures of `info migrate`. Sizes are bytes, times milliseconds."""

    status: str
    transferred: int
    remaining: int
    total: int
    total_time: float
    downtime: float
    """From the request to stop the guest to the last byte handed over; 0 unless completed."""
    expected_downtime: float
    setup_time: float
    dirty_sync_count: int
    """Harvests, that of the setup included."""
    duplicate: int
    """Pages sent as zeros."""
    normal: int
    """Pages sent with content."""
    normal_bytes: int
    throughput: float
    """Megabits per second over the whole time."""
    sync_dirty: tuple[int, ...]
    """Pages found newly dirty in each sync after the setup."""
    error: str | None


class Migration:
    """One attempt to move a machine's guest through a socket."""

    def __init__(
        self, machine: Source, sock: Stream, design: type[Design], parameters: Parameters
    ) -> None:
        self.machine = machine
        self.parameters = parameters
        self.state = StateCell(
            "migration", MIGRATION_TRANSITIONS, MigrationState.NONE, machine.trace
        )
        self.channel = Channel(sock, machine.trace, self.window_bytes())
        self.ram = design.ram_save_class(machine.ram, machine.log, self.channel, parameters)
        self.savevm = SaveVm(machine.registry, self.ram)
        self.times = Times(time.monotonic())
        self.bandwidth = 0.0
        """Bytes per second in the last window."""
        self.threshold = 0
        """Bytes that may be left when the guest is stopped: bandwidth x downtime limit."""
        self.at_stop: AtStop | None = None
        """Set when the last round is appended, the guest stopped; None before."""
        self.expected_downtime = 0.0
        """Seconds."""
        self.error: Exception | None = None
        """Why it failed; None unless it did."""
        self.cancel_requested = False
        self.wake = threading.Event()
        """Ends a wait for the next window."""
        self._finished = threading.Event()
        self.design = design(self)
        self.thread = self.design.make_thread()
        """None where the migration has no thread of its own."""

    def start(self) -> None:
        """Begin; once."""
        self.state.follow("start")
        self.design.start()

    def window_bytes(self) -> int:
        """Bytes that may be written in a window."""
        return max(1, self.parameters.max_bandwidth // WINDOWS)

    def cancel(self) -> None:
        """Have it end with the guest here; from any thread, without waiting, as often as liked.

        A migration whose stream is already handed over completes all the same.
        """
        self.design.cancel()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end, clean-up included; False when it still runs after `timeout` seconds.

        Not with the big lock held.
        """
        return self._finished.wait(timeout)

    @property
    def finished(self) -> bool:
        """Whether it has ended and is cleaned up."""
        return self._finished.is_set()

    def fail(self, error: Exception) -> None:
        """End it as failed, or as cancelled when that was asked for; the first error is kept."""
        while (state := self.state.value) in {
            MigrationState.SETUP,
            MigrationState.ACTIVE,
            MigrationState.DEVICE,
        }:
            committed = state is MigrationState.DEVICE
            event = "aborted" if committed and self.cancel_requested else "error"
            if self.state.move(state, event):
                if event == "error":
                    self.error = error
                return

    def set_bandwidth(self, bandwidth: float) -> None:
        """Take over a measurement in bytes per second."""
        self.bandwidth = bandwidth
        self.threshold = int(bandwidth * self.parameters.downtime_limit_ms / 1000)
        if bandwidth > 0:
            self.expected_downtime = self.ram.remaining / bandwidth

    def finished_up(self) -> None:
        """Called by the clean-up: the last move, and everyone who waits is told."""
        self.times.end = time.monotonic()
        self.state.move(MigrationState.CANCELLING, "cleaned up")
        self._finished.set()

    def info(self) -> Info:
        """The figures as they are now."""
        times, ram = self.times, self.ram
        now = times.end if times.end is not None else time.monotonic()
        seconds = now - times.start
        downtime = 0.0
        if self.state.value is MigrationState.COMPLETED and times.stop_begin is not None:
            downtime = (times.stop_end or now) - times.stop_begin
        sent = self.channel.written
        return Info(
            status=self.state.value.value,
            transferred=sent,
            remaining=ram.remaining,
            total=sum(block.used_length for block in ram.blocks),
            total_time=seconds * 1000,
            downtime=downtime * 1000,
            expected_downtime=self.expected_downtime * 1000,
            setup_time=0.0 if times.set_up is None else (times.set_up - times.start) * 1000,
            dirty_sync_count=ram.setup_syncs + len(ram.syncs),
            duplicate=ram.duplicate,
            normal=ram.normal,
            normal_bytes=ram.normal * self.parameters.page_size,
            throughput=sent * 8 / seconds / 1e6 if seconds > 0 else 0.0,
            sync_dirty=tuple(sync.newly for sync in ram.syncs),
            error=None if self.error is None else str(self.error),
        )
