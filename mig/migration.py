"""One outgoing migration: its state, its figures, and how to start, cancel and wait for it.

Promises: `start` publishes everything before the thread begins; `join` returns after the clean-up,
when the source runs the guest again or has given it away; figures may be asked for at any time by
any thread. Every move of the state is a compare-and-swap.
Until the commit an error or a cancel ends it with the guest here; after it the one who hands over decides
(`undo`, `unknown`), and nobody else moves the state.
Assumes: a connected blocking socket, which the migration owns from its creation on.
Does not: know in which order things are done: that is the design.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mig import info
from mig.channel import Channel
from mig.checks import Claim
from mig.return_path import ReturnPath
from mig.runstate import LIVE, MIGRATION_TRANSITIONS, UNDECIDED, MigrationState, StateCell
from mig.savevm import SaveVm
from mig.stall import Watch

if TYPE_CHECKING:
    from mig.capabilities import Capabilities
    from mig.cpus import Cpus
    from mig.designs.base import Design
    from mig.dirtylog import DirtyLog
    from mig.events import EventHub
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

    @property
    def parameters(self) -> Parameters:
        """Its migration parameters as they are now."""

    @property
    def capabilities(self) -> Capabilities:
        """Its migration capabilities as they are now."""

    @property
    def events(self) -> EventHub:
        """What its user is told."""


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


class OutcomeUnknown(Exception):  # noqa: N818 - what is the matter
    """The destination may run the guest, or not."""

    def __init__(self, error: Exception) -> None:
        super().__init__(
            f"the outcome is unknown: the guest was being handed over when this came: {error}; it is paused"
            " here: look whether it runs at the destination, and if that is gone, let it run on here ('cont')"
        )


class Migration:
    """One attempt to move a machine's guest through a socket."""

    def __init__(self, machine: Source, sock: Stream, design: type[Design]) -> None:
        self.machine = machine
        self.capabilities = machine.capabilities
        """Those it was started with."""
        self.state = StateCell(
            "migration", MIGRATION_TRANSITIONS, MigrationState.NONE, machine.trace, self
        )
        parameters = machine.parameters
        self.channel = Channel(sock, machine.trace, parameters.window_bytes)
        self.ram = design.ram_save_class(
            machine.ram, machine.log, self.channel, parameters, xbzrle=self.capabilities.xbzrle
        )
        self.savevm = SaveVm(machine.registry, self.ram, self.claim)
        self.return_path: ReturnPath | None = None
        """What the destination says; None without the capability."""
        if self.capabilities.return_path:
            self.return_path = ReturnPath(sock, self.give_up)
        self.times = Times(time.monotonic())
        self.rates = info.Rates(self.times.start)
        self.bandwidth = 0.0
        """Bytes per second on the wire, in the last window."""
        self.pace = 0.0
        """Bytes of memory per second in the last window: with what deltas saved."""
        self.threshold = 0
        """Bytes of memory that may be left when the guest is stopped: pace x downtime limit."""
        self.at_stop: AtStop | None = None
        """Set when the last round is appended, the guest stopped; None before."""
        self.precopy_bytes: int | None = None
        """Bytes appended when the guest was stopped; None before."""
        self.expected_downtime = 0.0
        """Seconds."""
        self.outcome_unknown = False
        """It failed when the destination may already have had everything; the guest stays stopped."""
        self.cancel_requested = False
        self.wake = threading.Event()
        """Ends a wait for the next window."""
        self.released = threading.Event()
        """Ends the hold before the switch-over; set also when the migration has to end."""
        self._passes = 0
        self._failure: Exception | None = None
        self._finished = threading.Event()
        self.design = design(self)
        self.thread = self.design.make_thread()
        """None where the migration has no thread of its own."""

    @property
    def parameters(self) -> Parameters:
        """The machine's parameters as they are now."""
        return self.machine.parameters

    def start(self) -> None:
        """Begin; once."""
        self.state.follow("start")
        Watch(self).start()
        self.design.start()

    def cancel(self) -> None:
        """Have it end with the guest here; from any thread, without waiting, as often as liked.

        A migration whose stream is already handed over completes all the same.
        """
        self.design.cancel()

    def continue_from(self, state: str) -> bool:
        """End the hold in `state` ("pre-switchover"); False when it is not held there."""
        held = MigrationState.PRE_SWITCHOVER
        if state != held.value or not self.state.move(held, "continue"):
            return False
        self.interrupt()
        return True

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the end, clean-up included; False when it still runs after `timeout` seconds.

        Not with the big lock held.
        """
        return self._finished.wait(timeout)

    @property
    def finished(self) -> bool:
        """Whether it has ended and is cleaned up."""
        return self._finished.is_set()

    def claim(self) -> Claim:
        """What was sent of RAM so far."""
        return Claim(self.ram.pages(), self.ram.checks.digests())

    def fail(self, error: Exception) -> None:
        """End it as failed, unless it has ended, is being cancelled or is committed; the first error is kept."""
        while (state := self.state.value) in UNDECIDED:
            if self._failure is None:
                # Before the move: whoever sees the state finds the reason.
                self._failure = error
            if self.state.move(state, "error"):
                break
        self.interrupt()

    def give_up(self, error: Exception) -> None:
        """`fail`, and have a blocked write return; from any thread."""
        self.fail(error)
        self.channel.abort(error if isinstance(error, OSError) else OSError(str(error)))

    def undo(self, error: Exception) -> None:
        """Committed, and not handed over after all: failed, or cancelled when that was asked for."""
        self._failure = error
        event = "aborted" if self.cancel_requested else "error"
        self.state.move(MigrationState.COMMITTED, event)

    def unknown(self, error: Exception) -> None:
        """Committed, and nobody here can know whether the destination runs the guest: it stays stopped."""
        self._failure = OutcomeUnknown(error)
        self.outcome_unknown = True
        self.state.move(MigrationState.COMMITTED, "error")

    @property
    def error(self) -> Exception | None:
        """Why it failed; None unless it did."""
        return self._failure if self.state.value is MigrationState.FAILED else None

    @property
    def live(self) -> bool:
        """Whether it has neither ended nor been told to."""
        return self.state.value in LIVE

    def interrupt(self) -> None:
        """End every wait that is no write: whoever runs the migration looks at its state."""
        self.released.set()
        self.design.wake()

    def set_bandwidth(self, bandwidth: float, saved: float = 0.0) -> None:
        """Take over a measurement in bytes per second: of the wire, and what deltas saved beside.

        What remains is known in bytes of memory; how fast those go is what the wire carries and what need not travel.
        """
        self.bandwidth = bandwidth
        self.pace = bandwidth + saved
        self.threshold = int(self.pace * self.parameters.downtime_limit_ms / 1000)
        if self.pace > 0:
            self.expected_downtime = self.ram.remaining / self.pace
        syncs = [sync.newly for sync in self.ram.syncs]
        self.rates.window(time.monotonic(), self.ram.walked, syncs)

    def finished_up(self) -> None:
        """Called by the clean-up: the last move, and everyone who waits is told."""
        self.times.end = time.monotonic()
        self.state.move(MigrationState.CANCELLING, "cleaned up")
        self._finished.set()

    def info(self) -> info.Info:
        """The figures as they are now."""
        return info.of(self)

    def shown(self, state: MigrationState) -> str:
        """QEMU's name for a state: it knows no commit, and `device` only after a pause."""
        if state in {MigrationState.DEVICE, MigrationState.COMMITTED}:
            return "device" if self.capabilities.pause_before_switchover else "active"
        return str(state.value)

    # --- what the user is told, with capability `events` ------------------------------------------

    def note(self, old: MigrationState, new: MigrationState) -> None:
        """The state has moved."""
        if self.capabilities.events and self.shown(old) != self.shown(new):
            self.machine.events.post("MIGRATION", status=self.shown(new))

    def deliver(self) -> None:
        """Tell of what was noted."""
        self.machine.events.deliver()

    def tell_passes(self) -> None:
        """Tell of the harvests since the last call; without any lock."""
        if self.capabilities.events:
            passes = self.ram.setup_syncs + len(self.ram.syncs)
            while self._passes < passes:
                self._passes += 1
                self.machine.events.tell("MIGRATION_PASS", **{"pass": self._passes})
