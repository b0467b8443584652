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
from typing import TYPE_CHECKING

from mig.designs.base import Steps
from mig.parameters import WINDOW
from mig.ram_save import RamChanged
from mig.runstate import MigrationState, StateError

if TYPE_CHECKING:
    from mig.return_path import ReturnPath


class Thread(Steps):
    """RAM walked under the big lock, written outside it."""

    name = "thread"
    hears = True

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
            if self.state.value is MigrationState.COMMITTED:
                self.migration.unknown(error)
            self.end()
            raise
        self.end()

    def setup(self) -> None:
        """Begin to track dirty pages and append the stream's head."""
        with self.big_lock:
            self.setup_locked()
        self.greet()
        self.set_up()

    def greet(self) -> None:
        """With a return path: wait, before anything else is sent, until it is known who answers."""
        if (listening := self.migration.return_path) is None:
            return
        listening.start()
        while self.channel.buffered and self.state.value is MigrationState.SETUP:
            self.flush()
            self.window()
        if self.state.value is MigrationState.SETUP and not listening.await_greeting():
            self.migration.fail(listening.error or listening.refusal())

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
        """Hand over. No destination starts before the tail begins, so until then all can be undone.

        1. Everything but the tail is written; a cancel or an error still ends in the source running.
        2. With a return path the destination says that it has loaded all that.
        3. Commit: from here on a cancel no longer changes the state; without a return path it aborts the
           channel.
        4. The tail is written, and 5., with a return path, the destination says that it has taken over.
        """
        self.drain(big_lock_held=big_lock_held)
        if self.check_error() or not self.ready():
            return
        tail = self.migration.savevm.tail()
        if self.state.move(MigrationState.DEVICE, "commit"):
            self.hand_over(tail, big_lock_held=big_lock_held)

    def ready(self) -> bool:
        """Whether the destination has loaded everything but the tail, as far as it can say so."""
        listening = self.migration.return_path
        if listening is None or listening.await_ready():
            return True
        self.migration.fail(listening.error or listening.refusal())
        return False

    def hand_over(self, tail: bytes, *, big_lock_held: bool) -> None:
        """Write the tail, once committed, and settle what became of it.

        With a destination that was to answer and does not, nobody here can know either whether it runs the guest,
        which then stays stopped. A file that cannot be finished and a command that fails have not taken the
        stream whole.
        """
        channel, migration = self.channel, self.migration
        if (listening := migration.return_path) is not None:
            listening.expect_end()
        self.tail_at = channel.written
        channel.append([tail])
        self.drain(big_lock_held=big_lock_held)
        if channel.buffered or not channel.deliver():
            self.check_error()
            return
        channel.end()
        if listening is None or self.taken_over(listening):
            migration.times.stop_end = time.monotonic()
            self.state.follow("sent")

    def taken_over(self, listening: ReturnPath) -> bool:
        """Wait for the destination's last word; False: it refused, or it can say nothing more."""
        if not listening.await_end():
            self.migration.unknown(listening.error or OSError("the destination does not answer"))
        elif listening.shut:
            self.migration.undo(listening.refusal())
        return listening.shut == 0

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
