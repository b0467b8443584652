"""Design `thread`: as merged in December 2012, with its later corrections and a better moment to stop.

Promises, for every interleaving: while the guest runs, the socket is written with no lock held; the
guest is stopped in place, and no page is walked for the last time before every vCPU has
acknowledged; the source runs on if, and only if, not every byte was handed to the socket, so never
two sides run the guest; a cancel is obeyed until then. A migration ends when the peer goes away.
Assumes: the destination starts the guest only after the whole stream, its last byte included.
Does not: notice a destination that died after it got the whole stream (there is no return path).

RAM is walked under the big lock and the ramlist mutex in bounded portions, appended to the
channel's buffer, and written outside. The guest is stopped where waiting no longer pays
(`mig.convergence`); `Merged` stops it as early as the limit allows, as QEMU does.

Source: QEMU c09f4cb2b3, e76274824d, c518dd841d (thread, locking, append and write), 79536f4f16 and
c6bf8e0e0c (harvest in setup), aa723c2314 (stop in place), e4ed1541ac (completion decided in one
place), 7161082c8d (bandwidth measured on the wire), a3fa1d78cb (the last flush in the thread's own
loop), bb1fadc444 (clean-up in a bottom half that joins), f4410a5d99 (compare-and-swap).
"""

from __future__ import annotations

import threading
import time

from mig.designs.base import Steps
from mig.parameters import WINDOW
from mig.ram_save import RamChanged
from mig.runstate import MigrationState, StateError


class Thread(Steps):
    """RAM walked under the big lock, written outside it."""

    name = "thread"

    # --- the thread ------------------------------------------------------------------------------

    def make_thread(self) -> threading.Thread:
        """The migration thread."""
        return threading.Thread(target=self.run, name="migration", daemon=True)

    def start(self) -> None:
        """Start the thread, and those that it needs."""
        self.start_helpers()
        if (thread := self.migration.thread) is not None:
            thread.start()

    def start_helpers(self) -> None:
        """Start what the migration thread relies on: nothing but the iothread, which runs."""

    def run(self) -> None:
        """Body of the migration thread: set up, then produce and write until the state is no longer active."""
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

    def setup(self) -> None:
        """Begin to track dirty pages and append the stream's head."""
        with self.big_lock:
            self.setup_locked()
        self.set_up()

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
        self.migration.tell_passes()
        if completed:
            self.finish(big_lock_held=False)

    # --- writing ---------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write within the budget, no lock held; an error fails the migration at once."""
        self.channel.flush()
        self.check_error()

    def window(self) -> None:
        """After 100 ms measure and open the next window; wait for it when the budget is spent."""
        age = self.channel.window_age()
        if age < WINDOW and self.channel.limited():
            self.migration.wake.wait(WINDOW - age)
            age = self.channel.window_age()
        if age >= WINDOW:
            self.new_window()

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
        if self.check_error() or not self.state.move(MigrationState.DEVICE, "commit"):
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
        """The thread's last step: give the guest away or take it back."""
        with self.big_lock:
            self.end_locked()


class Merged(Thread):
    """The guest is stopped as soon as what is left can be sent within the limit, as in December 2012 and today."""

    name = "merged"

    def may_stop(self) -> bool:
        """Whether what is left can be sent in time; harvested anew when it looks so. The big lock is held."""
        return self.estimate() <= self.migration.threshold

    def estimate(self) -> int:
        """Bytes to send; exact when near the end."""
        if self.ram.remaining <= self.migration.threshold:
            self.harvest()
        return self.ram.remaining
