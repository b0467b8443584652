"""Design `timer`: no migration thread; the iothread migrates in callbacks, as before the series.

Promises: the same stream and the same outcomes as `mig.designs.thread`. A timer opens a window every 100 ms; until its
budget is spent, pages are walked and written without blocking, and when the socket takes no more, the rest waits until
it does. Everything happens on the iothread with the big lock held: a walk keeps the monitor and the vCPUs waiting.
Assumes: the iothread serves its timers, bottom halves and descriptors.
Does not: block it in a write. The old code did at the very end, where closing waited for the socket; here the last
bytes are written by the same callbacks, while the guest stands still.

Source: QEMU buffered_file.c and migration.c at a21143486b (buffered_rate_tick, buffered_put_buffer,
migrate_fd_put_ready).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar

from mig.designs.base import Steps
from mig.parameters import UNLIMITED, WINDOW
from mig.ram_save import RamChanged
from mig.runstate import MigrationState, StateError

if TYPE_CHECKING:
    from collections.abc import Callable

    from mig.migration import Migration


class Timer(Steps):
    """Callbacks of the iothread."""

    name: ClassVar[str] = "timer"

    def __init__(self, migration: Migration) -> None:
        super().__init__(migration)
        self.channel.wait_no_more()
        self.ended = False
        self.watching = False
        self.held = False
        self.then: Callable[[], None] | None = None
        """What to do when everything is written; set when the guest has been stopped."""

    def make_thread(self) -> None:
        """None."""

    def start(self) -> None:
        """Have the iothread begin."""
        self.machine.mainloop.schedule(lambda: self.step(self.begin))

    def wake(self) -> None:
        """Have the iothread look at the state."""
        self.machine.mainloop.schedule(lambda: self.step(self.go_on))

    # --- callbacks: on the iothread, the big lock held --------------------------------------------

    def step(self, work: Callable[[], None]) -> None:
        """Do one piece of work, unless the migration is over; and end it when it is."""
        if self.ended:
            return
        try:
            work()
        except (RamChanged, StateError) as error:
            self.migration.fail(error)
        except Exception as error:
            # A fault of our own: the guest stays here, and the iothread shows the error.
            self.migration.fail(error)
            self.end_once()
            raise
        if self.state.value in {
            MigrationState.COMPLETED,
            MigrationState.FAILED,
            MigrationState.CANCELLING,
        }:
            self.end_once()

    def end_once(self) -> None:
        """Watch nothing more, and end."""
        self.ended = True
        self.watch(wanted=False)
        self.end_locked()

    def clean_up_later(self) -> None:
        """Clean up at once: there is no thread to wait for."""
        self.cleanup()

    def begin(self) -> None:
        """Set up, and begin the first window."""
        self.setup_locked()
        self.set_up()
        self.tick()

    def tick(self) -> None:
        """Every 100 ms: open the next window and use it."""
        self.machine.mainloop.call_later(WINDOW, lambda: self.step(self.tick))
        if self.then is None and self.channel.window_age() >= WINDOW:
            self.new_window()
        self.go_on()

    def go_on(self) -> None:
        """Write; and produce, as long as the socket takes it, the budget allows, and others have not waited long."""
        self.write()
        if self.held and self.state.value is MigrationState.DEVICE:
            self.held = False
            self.complete()
            self.write_rest()
        deadline = time.monotonic() + self.parameters.iterate_ms / 1000
        while self.may_produce():
            if time.monotonic() >= deadline:
                self.machine.mainloop.schedule(lambda: self.step(self.go_on))
                return
            if self.produce_locked():
                self.write_rest()
            self.migration.tell_passes()
            self.write()
        while self.then is not None and not self.channel.buffered and not self.check_error():
            work, self.then = self.then, None
            work()

    def hold(self) -> bool:
        """Wait for the user to continue, in callbacks: nothing is completed now."""
        self.held = True
        return False

    def write_rest(self) -> None:
        """The guest is stopped and the rest is appended: hand over when it is written, whatever the budget."""
        self.channel.limit = UNLIMITED
        self.then = self.commit
        self.write()

    def may_produce(self) -> bool:
        """Whether more can be sent at once."""
        if not self.active() or self.then is not None:
            return False
        return not self.channel.frozen and not self.channel.limited()

    def write(self) -> None:
        """Write what the socket takes now, and have it watched if that was not all."""
        self.channel.flush(big_lock_held=True)
        failed = self.check_error()
        self.watch(wanted=self.channel.frozen and not failed)

    def watch(self, *, wanted: bool) -> None:
        """Be called when the socket takes bytes again, or no more."""
        if wanted is self.watching:
            return
        self.watching = wanted
        if wanted:
            self.machine.mainloop.add_writer(self.channel.socket, lambda: self.step(self.go_on))
        else:
            self.machine.mainloop.remove_writer(self.channel.socket)

    # --- the end: as `mig.designs.thread.Thread.finish`, in callbacks ------------------------------

    def commit(self) -> None:
        """All but the tail is written: from here on a cancel no longer changes the state."""
        tail = self.migration.savevm.tail()
        if self.state.move(MigrationState.DEVICE, "commit"):
            self.tail_at = self.channel.written
            self.channel.append([tail])
            self.then = self.sent
            self.write()

    def sent(self) -> None:
        """The tail is written: the destination may run, and the source never will."""
        if not self.channel.deliver():
            self.check_error()
            return
        self.state.follow("sent")
        self.channel.end()
        self.migration.times.stop_end = time.monotonic()
