"""Design `thread`: as merged in December 2012, with its later corrections.

Promises, for every interleaving: while the guest runs, the socket is written with no lock held; the
guest is stopped in place, and no page is walked for the last time before every vCPU has
acknowledged; the source runs on if, and only if, not every byte was handed to the socket, so never
two sides run the guest; a cancel is obeyed until then. A migration ends when the peer goes away.
Assumes: the destination starts the guest only after the whole stream, its last byte included.
Does not: notice a destination that died after it got the whole stream (there is no return path).

RAM is walked under the big lock and the ramlist mutex in bounded portions, appended to the
channel's buffer, and written outside.

Source: QEMU c09f4cb2b3, e76274824d, c518dd841d (thread, locking, append and write), 79536f4f16 and
c6bf8e0e0c (harvest in setup), aa723c2314 (stop in place), e4ed1541ac (completion decided in one
place), 7161082c8d (bandwidth measured on the wire), a3fa1d78cb (the last flush in the thread's own
loop), bb1fadc444 (clean-up in a bottom half that joins), f4410a5d99 (compare-and-swap).
"""

from __future__ import annotations

import errno
import time

from mig.designs.base import Design
from mig.migration import AtStop
from mig.parameters import WINDOW
from mig.ram_save import RamChanged
from mig.runstate import MigrationState, StateError


class Thread(Design):
    """RAM walked under the big lock, written outside it."""

    name = "thread"

    # --- the thread ------------------------------------------------------------------------------

    def run(self) -> None:
        """Set up, then produce and write until the state is no longer active."""
        try:
            self.setup()
            while self.active():
                self.tick()
        except (RamChanged, StateError) as error:
            self.migration.fail(error)
        except Exception as error:
            # A fault of our own: the guest stays here, and the thread shows the error.
            self.migration.fail(error)
            self.end()
            raise
        self.end()

    def active(self) -> bool:
        """Whether there is still something to migrate."""
        return self.state.value is MigrationState.ACTIVE

    def setup(self) -> None:
        """Begin to track dirty pages and append the stream's head."""
        with self.big_lock:
            if self.state.value is not MigrationState.SETUP:
                return
            with self.machine.ram.mutex:
                self.setup_harvest()
            self.channel.append(self.migration.savevm.setup())
        self.migration.times.set_up = time.monotonic()
        self.state.move(MigrationState.SETUP, "set up")

    def setup_harvest(self) -> None:
        """All pages dirty; logging on; and only then the shared log cleared.

        Cleared before logging is on, it would lose the stores made in between; not cleared at all,
        the first sync would find every page that was ever allocated.
        """
        self.ram.fill()
        self.machine.log.start()
        self.ram.setup_harvest()

    def tick(self) -> None:
        """Produce if the budget allows, write, look at the window."""
        if not self.channel.limited():
            self.produce()
        if self.active():
            self.flush()
            self.window()

    def produce(self) -> None:
        """Append a portion, or finish outside the big lock."""
        with self.big_lock:
            completed = self.produce_locked()
        if completed:
            self.finish(big_lock_held=False)

    def produce_locked(self) -> bool:
        """Append a portion; or, near the end, stop the guest, append all, and return True."""
        if not self.active():
            return False
        if self.estimate() > self.migration.threshold:
            self.iterate()
            return False
        self.migration.times.stop_begin = time.monotonic()
        if not self.stop_vm():
            return False
        # The wait for the vCPUs released the big lock: a cancel may have come.
        if not self.active():
            return False
        self.complete()
        return True

    # --- producing -------------------------------------------------------------------------------

    def estimate(self) -> int:
        """Bytes to send; harvested anew when it looks as if the guest could be stopped."""
        if self.ram.remaining <= self.migration.threshold:
            self.ram.sync()
        return self.ram.remaining

    def iterate(self) -> None:
        """Append one bounded portion."""
        self.channel.append(self.migration.savevm.iterate())

    def stop_vm(self) -> bool:
        """Stop in place: waits for every vCPU, the big lock free meanwhile."""
        return self.cpus.vm_stop("migration_stop")

    def complete(self) -> None:
        """Append the last harvest, the pages left and the devices."""
        self.tell_complete("complete_begin")
        sent = self.ram.normal + self.ram.duplicate
        self.channel.append(self.migration.savevm.complete())
        pages = self.ram.normal + self.ram.duplicate - sent
        channel = self.channel
        self.migration.at_stop = AtStop(pages, channel.buffered, channel.bytes_xfer)
        self.tell_complete("complete_end")

    def tell_complete(self, event: str) -> None:
        """Tell the listener where the last walk begins and ends."""
        if (listener := self.machine.trace.listener) is not None:
            listener.event(event, remaining=self.ram.bitmap.count)

    # --- writing ---------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write within the budget; an error fails the migration at once."""
        self.channel.flush()
        self.check_error()

    def check_error(self) -> bool:
        """Whether the channel has failed; the migration then has, too."""
        error = self.channel.error
        if error is None:
            return False
        self.migration.fail(error)
        return True

    def window(self) -> None:
        """After 100 ms measure and open the next window; wait for it when the budget is spent."""
        age = self.channel.window_age()
        if age < WINDOW and self.channel.limited():
            self.migration.wake.wait(WINDOW - age)
            age = self.channel.window_age()
        if age >= WINDOW:
            self.measure()

    def measure(self) -> None:
        """Bandwidth from what the socket took, and the remainder that may be left at the stop."""
        bandwidth = self.channel.refill()
        if bandwidth is not None:
            self.migration.set_bandwidth(bandwidth)

    # --- the end ---------------------------------------------------------------------------------

    def drain(self, *, big_lock_held: bool) -> None:
        """Write all, one budget after the other."""
        channel = self.channel
        channel.limit = self.parameters.drain_limit
        while channel.error is None and channel.buffered:
            channel.refill()
            channel.flush(big_lock_held=big_lock_held)

    def finish(self, *, big_lock_held: bool) -> None:
        """Hand over. The destination cannot start before the tail, so until then all can be undone.

        1. Everything but the tail is written; a cancel or an error still ends in the source running.
        2. Commit: from here on a cancel no longer changes the state, it only aborts the channel.
        3. The tail is written. Whole: the destination may run, and the source never will. Not whole:
           the destination cannot, and the source runs on. A file that cannot be finished and a command
           that fails have not taken the stream whole.
        """
        self.drain(big_lock_held=big_lock_held)
        if self.check_error() or not self.state.move(MigrationState.ACTIVE, "commit"):
            return
        self.channel.append([self.migration.savevm.tail()])
        self.drain(big_lock_held=big_lock_held)
        if self.channel.buffered or not self.channel.deliver():
            self.check_error()
            return
        self.state.follow("sent")
        self.channel.end()
        self.migration.times.stop_end = time.monotonic()

    def end(self) -> None:
        """Give the guest away or take it back, and leave the rest to the iothread."""
        with self.big_lock:
            self.machine.log.stop()
            if self.state.value is MigrationState.COMPLETED:
                self.cpus.state.follow("migration_done")
            else:
                self.cpus.undo_stop()
            self.machine.mainloop.schedule(self.cleanup)

    def cleanup(self) -> None:
        """Join the thread with the big lock free, close, and tell those who wait."""
        self.big_lock.release()
        try:
            self.migration.thread.join()
        finally:
            self.big_lock.acquire()
        self.channel.close()
        self.migration.finished_up()

    def cancel(self) -> None:
        """Cancel, without any lock."""
        self.cancel_now()

    def cancel_now(self) -> None:
        """Ask for the end and make a blocked write return; whether or not the big lock is held.

        A state that moves between look and swap is looked at again. After the commit the state
        stays: whether the tail was handed over decides.
        """
        migration = self.migration
        while (state := self.state.value) in {MigrationState.SETUP, MigrationState.ACTIVE}:
            if self.state.move(state, "cancel"):
                break
        if self.state.value in {MigrationState.CANCELLING, MigrationState.DEVICE}:
            migration.cancel_requested = True
            self.channel.abort(OSError(errno.ECANCELED, "the migration was cancelled"))
            migration.wake.set()
