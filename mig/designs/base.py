"""What a design consists of: steps whose order and locks matter, each a method of its own.

Promises: a design is created for one migration and used by whoever runs it; a defect or another design replaces single
steps and inherits the rest. Steps say which locks they expect. `Design` is what a migration and a machine call;
`Steps` what all designs share.
Does not: keep figures (`mig.migration`), or stop the guest by itself (`mig.cpus`).
"""

from __future__ import annotations

import abc
import errno
import time
from typing import TYPE_CHECKING, ClassVar

from mig.convergence import SOON, AutoConverge, Switchover, Throttle
from mig.cpus import Cpus
from mig.migration import AtStop
from mig.ram import PAGE_SIZE
from mig.ram_save import RamSave
from mig.runstate import UNDECIDED, MigrationState

if TYPE_CHECKING:
    import threading

    from mig.migration import Migration
    from mig.parameters import Parameters
    from mig.ram_xbzrle import DeltaSender


class Design(abc.ABC):
    """One migration, run in one way."""

    name: ClassVar[str]
    cpus_class: ClassVar[type[Cpus]] = Cpus
    """How vCPUs of a machine of this design acknowledge, stop and resume."""
    ram_save_class: ClassVar[type[RamSave]] = RamSave
    """How RAM is walked."""
    hears: ClassVar[bool] = False
    """Whether it can wait for the destination's answers."""

    def __init__(self, migration: Migration) -> None:
        self.migration = migration
        self.machine = migration.machine
        self.big_lock = migration.machine.big_lock
        self.cpus = migration.machine.cpus
        self.channel = migration.channel
        self.ram = migration.ram
        self.state = migration.state

    @property
    def parameters(self) -> Parameters:
        """The migration's parameters as they are now."""
        return self.migration.parameters

    @abc.abstractmethod
    def make_thread(self) -> threading.Thread | None:
        """The migration thread, not started; None where there is none."""

    @abc.abstractmethod
    def start(self) -> None:
        """Begin; everything about the migration is published. From any thread, without waiting."""

    @abc.abstractmethod
    def cancel(self) -> None:
        """From any thread, big lock not held: have the migration end, the guest stay here."""

    @abc.abstractmethod
    def cancel_now(self) -> None:
        """The steps of `cancel`, for a callback of the iothread."""

    @abc.abstractmethod
    def wake(self) -> None:
        """Have whoever runs the migration look at its state; from any thread."""


class Steps(Design):
    """What all designs do, and none does in another order."""

    def __init__(self, migration: Migration) -> None:
        super().__init__(migration)
        self.switchover = Switchover(self.ram.bitmap.pages * PAGE_SIZE)
        self.auto_converge = AutoConverge(time.monotonic())
        self._saved = 0
        self.tail_at = 0
        """Bytes written when the tail was begun."""

    def active(self) -> bool:
        """Whether there is still something to migrate."""
        return self.state.value is MigrationState.ACTIVE

    # --- the beginning ---------------------------------------------------------------------------

    def setup_locked(self) -> None:
        """Begin to track dirty pages and append the stream's head. The big lock is held."""
        if self.state.value is not MigrationState.SETUP:
            return
        with self.machine.ram.mutex:
            self.setup_harvest()
        listening = self.migration.return_path
        commands = () if listening is None else listening.greeting()
        self.channel.append(self.migration.savevm.setup(commands))

    def set_up(self) -> None:
        """The beginning is over."""
        self.migration.times.set_up = time.monotonic()
        self.migration.tell_passes()
        self.state.move(MigrationState.SETUP, "set up")

    def setup_harvest(self) -> None:
        """All pages dirty; logging on; and only then the shared log cleared. Both locks are held.

        Cleared before logging is on, it would lose the stores made in between; not cleared at all,
        the first sync would find every page that was ever allocated.
        """
        self.ram.fill()
        self.machine.log.start()
        self.ram.setup_harvest()

    # --- producing -------------------------------------------------------------------------------

    def produce_locked(self) -> bool:
        """Append a portion; or, when the guest is to be stopped, stop it, append all, and return True.

        The big lock is held.
        """
        if not self.active():
            return False
        if not self.may_stop():
            self.iterate_locked()
            return False
        return self.stop_and_complete()

    def stop_and_complete(self) -> bool:
        """Stop the guest and append the rest; whether that was done. The big lock is held."""
        self.migration.times.stop_begin = time.monotonic()
        if not self.stop_vm():
            return False
        # The wait for the vCPUs released the big lock: a cancel may have come.
        if not self.switch_over():
            return False
        self.complete()
        return True

    def may_stop(self) -> bool:
        """At the end of a round: harvest, and whether to stop the guest. The big lock is held.

        A round is the walk over all that a harvest found.
        """
        if self.ram.remaining:
            return False
        self.harvest()
        return self.round_is_last()

    def round_is_last(self) -> bool:
        """Whether to stop the guest with what the harvest at the end of a round found."""
        soon = int(self.migration.pace * SOON)
        return self.switchover.stop_now(self.ram.remaining, self.migration.threshold, soon)

    def harvest(self) -> None:
        """Take over what the guest has dirtied, and slow it down if that is asked for. The big lock is held."""
        found = self.ram.sync()
        if self.migration.capabilities.auto_converge:
            self.slow_down(found.newly * self.parameters.page_size)

    def slow_down(self, newly: int) -> None:
        """Have the vCPUs run as much as `newly` dirtied bytes and those sent since ask for. The big lock is held."""
        asked = self.parameters
        throttle = Throttle(
            asked.throttle_trigger_threshold,
            asked.cpu_throttle_initial,
            asked.cpu_throttle_increment,
            asked.max_cpu_throttle,
        )
        sent, percent = self.channel.written, self.cpus.throttle_percent
        now = time.monotonic()
        self.cpus.throttle(self.auto_converge.percent(now, newly, sent, throttle, percent))

    def iterate_locked(self) -> None:
        """Append a portion with the big lock held."""
        self.iterate()

    def iterate(self) -> None:
        """Append one bounded portion."""
        self.channel.append(self.migration.savevm.iterate())

    def stop_vm(self) -> bool:
        """Stop in place; False: not this time. The big lock is held, and free while waiting."""
        return self.cpus.vm_stop("migration_stop")

    def switch_over(self) -> bool:
        """The guest is stopped: go on, at once or when the user says so; False when it was cancelled.

        The big lock is held, and free while waiting.
        """
        if not self.migration.capabilities.pause_before_switchover:
            return self.state.move(MigrationState.ACTIVE, "stopped")
        return self.state.move(MigrationState.ACTIVE, "pause") and self.hold()

    def hold(self) -> bool:
        """Wait until the migration is continued, cancelled or failed; whether it was continued."""
        self.big_lock.release()
        try:
            self.migration.released.wait()
        finally:
            self.big_lock.acquire()
        return self.state.value is MigrationState.DEVICE

    def complete(self) -> None:
        """Append the last harvest, the pages left and the devices. The big lock is held, the guest is stopped."""
        self.migration.precopy_bytes = self.channel.appended
        self.tell_complete("complete_begin")
        sent = self.ram.walked
        listening = self.migration.return_path
        own = listening is not None and listening.own
        self.channel.append(self.migration.savevm.complete(own=own))
        if listening is not None:
            self.channel.append([listening.question()])
        pages = self.ram.walked - sent
        channel = self.channel
        self.migration.at_stop = AtStop(pages, channel.buffered, channel.bytes_xfer)
        self.tell_complete("complete_end")

    def tell_complete(self, event: str) -> None:
        """Tell the listener where the last walk begins and ends."""
        if (listener := self.machine.trace.listener) is not None:
            listener.event(event, remaining=self.ram.bitmap.count)

    # --- writing ---------------------------------------------------------------------------------

    def check_error(self) -> bool:
        """Whether the channel has failed; the migration then has, too."""
        error = self.channel.error
        if error is None:
            return False
        if self.state.value is MigrationState.COMMITTED:
            self.not_handed_over(error)
        else:
            self.migration.fail(error)
        return True

    def not_handed_over(self, error: Exception) -> None:
        """The tail was not written whole. Nothing of it written: the guest runs on here.

        A part of it written: a QEMU starts after its first byte, a stage3 after its last, and nobody here can know.
        """
        known = self.channel.written <= self.tail_at or self.channel.undoable
        (self.migration.undo if known else self.migration.unknown)(error)

    def new_window(self) -> None:
        """Open the next window, with what the parameters are now."""
        self.channel.limit = self.parameters.window_bytes
        self.ram.parameters = self.parameters
        self.measure()

    def measure(self) -> None:
        """Bandwidth from what the socket took, and the remainder that may be left at the stop."""
        saved = 0.0 if self.ram.deltas is None else self.saved(self.ram.deltas)
        bandwidth = self.channel.refill()
        if bandwidth is not None:
            self.migration.set_bandwidth(bandwidth, saved)

    def saved(self, deltas: DeltaSender) -> float:
        """Bytes that deltas saved in this window, a second."""
        saved, self._saved = deltas.saved - self._saved, deltas.saved
        age = self.channel.window_age()
        return saved / age if age > 0 else 0.0

    # --- the end ---------------------------------------------------------------------------------

    def end_locked(self) -> None:
        """Give the guest away or take it back, and leave the rest to the iothread. The big lock is held."""
        self.machine.log.stop()
        self.cpus.throttle(0)
        if self.state.value is MigrationState.COMPLETED:
            self.cpus.state.follow("migration_done")
            if self.migration.capabilities.release_ram:
                self.release_ram()
        elif self.migration.outcome_unknown:
            self.cpus.state.follow("migration_unknown")
        else:
            self.cpus.undo_stop()
        self.clean_up_later()

    def release_ram(self) -> None:
        """The guest is gone for good: give its memory back to the kernel. The big lock is held.

        Not page by page as they are sent: until the commit the guest may have to go on here. QEMU 7.2, too, gives
        nothing back before the source has given up the guest (in postcopy, which it can release during).
        """
        for block in self.ram.blocks:
            block.release()

    def clean_up_later(self) -> None:
        """Have the rest done by whoever does it, in a moment."""
        self.machine.mainloop.schedule(self.cleanup)

    def cleanup(self) -> None:
        """Join the thread with the big lock free, close, and tell those who wait. The big lock is held."""
        if (thread := self.migration.thread) is not None:
            self.big_lock.release()
            try:
                thread.join()
            finally:
                self.big_lock.acquire()
        self.hang_up()
        self.channel.close()
        self.migration.finished_up()

    def hang_up(self) -> None:
        """Nothing is heard of the destination any more. The big lock is held, and free while waiting."""
        if (listening := self.migration.return_path) is not None:
            self.channel.hang_up()
            self.big_lock.release()
            try:
                listening.join()
            finally:
                self.big_lock.acquire()

    def cancel(self) -> None:
        """Cancel, without any lock."""
        self.cancel_now()

    def cancel_now(self) -> None:
        """Ask for the end and make a blocked write return; whether or not the big lock is held.

        A state that moves between look and swap is looked at again. After the commit the state
        stays: whether the tail was handed over decides. A destination that answers has then taken all that
        came before, so the tail is not blocked, and a cancel would only make the outcome unknown.
        """
        while (state := self.state.value) in UNDECIDED:
            if self.state.move(state, "cancel"):
                break
        blocked = {MigrationState.CANCELLING}
        if self.migration.return_path is None:
            blocked.add(MigrationState.COMMITTED)
        if self.state.value in blocked:
            self.migration.cancel_requested = True
            self.channel.abort(OSError(errno.ECANCELED, "the migration was cancelled"))
            self.migration.interrupt()

    def wake(self) -> None:
        """Have whoever runs the migration look at its state; from any thread."""
        self.migration.wake.set()
