"""What was wrong with the series of July 2012: one class, and one or few replaced steps, a fault.

Promises: each class is design `thread` with that one fault, usable alone or combined by inheritance
(`mig.designs.rfc_v1`); steps that are not replaced are the correct ones, but for the moment of the stop: like the
series, a fault stops the guest as soon as the limit allows (`mig.designs.thread.Merged`).
Assumes: nothing; a fault does its harm in every machine, if size, set-up or schedule allow.
Does not: claim that the series as posted looked like this. Each class says what is established, by
the discussion or by commits, and what is our best candidate for a reported symptom.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, Final

from mig.bitmap import MAX_PAGES
from mig.cpus import Cpus
from mig.designs.thread import Merged, Thread
from mig.parameters import UNLIMITED
from mig.ram_save import RamSave
from mig.runstate import RunState

if TYPE_CHECKING:
    from mig.cpus import Vcpu
    from mig.migration import Migration

STOP_POLL: Final = 0.01
"""Seconds between two looks at the stop flag."""


class SkipSetupHarvest(Merged):
    """Fault (a): the shared log is not cleared in setup.

    Every page carries a mark since it was allocated, so the first sync finds all of them dirty and
    sends the guest a second time.
    Established: QEMU 6d2fe810ed took the harvest out of the setup, 79536f4f16 brought it back ten
    days after the series.
    """

    name = "thread+skip-setup-harvest"

    def setup_harvest(self) -> None:
        """All pages dirty, logging on, and the marks of before left in the shared log."""
        self.ram.fill()
        self.machine.log.start()


class DrainWithoutRefill(Merged):
    """Fault (b), H1: the drain's byte budget is never refilled.

    The budget (2^31 - 1 bytes, here `drain_limit`) counts what was written in the window; the loop
    that resets it is not the one that drains. With more left than the budget, each `flush` returns
    at once and the loop spins for ever, under the big lock when combined with `CloseUnderBigLock`.
    Best candidate for the reported stage-3 hang: QEMU 2dddf6f413 and c518dd841d have this loop,
    a3fa1d78cb removed it without naming the fault; the report's remainder exceeds the budget.
    """

    name = "thread+drain-without-refill"

    def drain(self, *, big_lock_held: bool) -> None:
        """Write until nothing waits, in a single budget."""
        channel = self.channel
        channel.limit = self.parameters.drain_limit
        while channel.error is None and channel.buffered:
            channel.flush(big_lock_held=big_lock_held)


class CloseUnderBigLock(Merged):
    """Fault (b), H8: the last round is written with the big lock held.

    A blackout as long as the transfer; a hang when the peer waits for something that needs the big
    lock. A cancel, the only cure, is a command of the monitor and needs it too.
    Best candidate: QEMU dd217b8732 (blocking writes) with the close in the completion path; moved
    out of the lock by a3fa1d78cb.
    """

    name = "thread+close-under-big-lock"

    def produce(self) -> None:
        """Append a portion, or finish, all in one hold of the big lock."""
        with self.big_lock:
            if self.produce_locked():
                self.finish(big_lock_held=True)

    def cancel(self) -> None:
        """Cancel with the big lock held."""
        with self.big_lock:
            self.cancel_now()


class LeakingRamSave(RamSave):
    """A walk that forgets the ramlist mutex when it finds the channel in error."""

    def iterate(self) -> list[bytes]:
        """Body of a PART section; after an error the mutex stays locked."""
        self.ram.mutex.acquire()
        if self.channel.error is not None:
            return []
        pieces = self.portion()
        self.ram.mutex.release()
        return pieces


class RamlistMutexLeak(Merged):
    """Fault (b), H6: the ramlist mutex is left locked on an error return.

    1. A write fails, or a cancel aborts the channel; 2. the walk returns with the mutex held; 3. the
    tick produces again before anyone looks at the error, and blocks on its own mutex, big lock held.
    Established for the merged code: QEMU b2a8658ef5 has the leak, fb3409de22 repairs it. Best
    candidate for v1.
    """

    name = "thread+ramlist-mutex-leak"
    ram_save_class: ClassVar[type[RamSave]] = LeakingRamSave

    def iterate(self) -> None:
        """Produce until the budget is spent or nothing is dirty; errors are the flush's business."""
        while True:
            before = self.channel.appended
            super().iterate()
            nothing = self.channel.appended == before and self.channel.error is None
            if nothing or self.channel.limited():
                return

    def flush(self) -> None:
        """Look for the error of an earlier write, then write."""
        if not self.check_error():
            self.channel.flush()


class EstimateByAppend(Merged):
    """The bandwidth is taken from the speed of copying into the buffer.

    Far above what the wire carries, so too much is left at the stop: what makes the budget of
    `DrainWithoutRefill` reachable.
    Best candidate: the estimate that QEMU e4ed1541ac and 7161082c8d replaced.
    """

    name = "thread+estimate-by-append"

    def __init__(self, migration: Migration) -> None:
        super().__init__(migration)
        self.copied = 0
        self.copy_seconds = 0.0

    def iterate(self) -> None:
        """Append a portion and take the time of that."""
        begin, before = time.monotonic(), self.channel.appended
        super().iterate()
        self.copied += self.channel.appended - before
        self.copy_seconds += time.monotonic() - begin

    def measure(self) -> None:
        """Bandwidth from bytes appended and the time that took."""
        self.channel.refill()
        if self.copy_seconds > 0:
            self.migration.set_bandwidth(self.copied / self.copy_seconds)
        self.copied, self.copy_seconds = 0, 0.0


class UnboundedRamSave(RamSave):
    """A walk that asks the clock when to end, and not what the window still allows."""

    def portion(self) -> list[bytes]:
        """What can be walked within `iterate_ms`."""
        self._check_version()
        return self._walk(MAX_PAGES, None, self.parameters.iterate_ms / 1000)


class FlushBeyondBudget(Merged):
    """The limiter looks between two writes only, and a write takes all that is buffered.

    An iteration appends for up to 50 ms at the speed of copying; one flush then writes that, many times the budget of
    the window. Part of what looked like the series' speed was this.
    Established: QEMU until bde54c08b4 (February 2013: "sending more was possible if the buffer was large"). The last
    flush is left to the other faults.
    """

    name = "thread+flush-beyond-budget"
    ram_save_class: ClassVar[type[RamSave]] = UnboundedRamSave

    def flush(self) -> None:
        """Write all that is buffered, if the window's budget is not yet spent."""
        channel = self.channel
        limit = channel.limit
        if channel.bytes_xfer < limit:
            channel.limit = UNLIMITED
        super().flush()
        channel.limit = limit


class StopByBottomHalf(Merged):
    """Fault (c), H2: the guest is stopped by a bottom half, and a flag says so too early.

    1. The migration thread schedules the bottom half and polls the flag; 2. the bottom half sets the
    flag and waits for the vCPUs, which releases the big lock; 3. the migration thread sees the flag
    and completes while vCPUs still run. And: 1. the flag is not set at the second look, so a second
    bottom half is scheduled; 2. the first one stops the guest, the migration fails, the guest runs
    again; 3. the second one stops it for good.
    Established: v1 stopped the vCPUs by a bottom half because `vm_stop` was asynchronous elsewhere;
    QEMU aa723c2314 made it unnecessary. Best candidate: where the flag is set, and that it is looked
    at without the lock under which it is set.
    """

    name = "thread+stop-by-bottom-half"

    def __init__(self, migration: Migration) -> None:
        super().__init__(migration)
        self.stop_flag = False

    def stop_vm(self) -> bool:
        """Have the iothread stop the guest; look at the flag every now and then."""
        seen = False
        while not seen:
            self.machine.mainloop.schedule(self.stop_bottom_half)
            self.big_lock.release()
            try:
                self.migration.wake.wait(STOP_POLL)
                seen = self.stop_seen()
            finally:
                self.big_lock.acquire()
            if not self.active():
                return False
        return True

    def stop_seen(self) -> bool:
        """Look at the flag, without the big lock."""
        self.tell_flag(write=False)
        return self.stop_flag

    def stop_bottom_half(self) -> None:
        """On the iothread: set the flag, then stop the guest if it is not stopped."""
        self.tell_flag(write=True)
        self.stop_flag = True
        if self.cpus.state.value in {RunState.RUNNING, RunState.PAUSED, RunState.PRELAUNCH}:
            self.cpus.vm_stop("migration_stop")

    def tell_flag(self, *, write: bool) -> None:
        """Declare the access to the flag."""
        if (listener := self.machine.trace.listener) is not None:
            listener.access("stop_flag", 0, 1, write)


class NotifyOneCpus(Cpus):
    """vCPUs that wake a single one of those who wait for them."""

    def acknowledge(self, cpu: Vcpu) -> None:
        """The vCPU is stopped; one waiter looks again."""
        cpu.stop = False
        cpu.stopped = True
        self.tell("vcpu_stopped", cpu)
        self.pause_cond.notify()


class NotifyOneStopper(Merged):
    """Fault (c), H5: a vCPU's acknowledgement wakes one of two waiters.

    1. The user's stop (iothread) and the migration's wait; 2. the last vCPU wakes one; 3. the other
    waits for ever.
    Established: QEMU until 96bce6831b (2016).
    """

    name = "thread+notify-one-stopper"
    cpus_class: ClassVar[type[Cpus]] = NotifyOneCpus


class StateAfterPauseCpus(Cpus):
    """vCPUs whose run state follows the stop instead of leading it."""

    def vm_stop(self, event: str) -> bool:
        """Wait for the vCPUs, then change the run state."""
        running = self.state.value is RunState.RUNNING
        if running or event == "migration_stop":
            self.pause_all()
            self.resume_wanted = running and event == "migration_stop"
            self.state.follow(event)
        return True

    def pause_all(self) -> bool:
        """Wait until every vCPU is stopped, whatever happens meanwhile."""
        self.request_stop()
        while not self.all_stopped():
            self.pause_cond.wait()
        return True

    def resume_all(self) -> None:
        """Let every vCPU run, whatever the run state is."""
        self.start_threads()
        for cpu in self.all:
            cpu.stop = False
            cpu.stopped = False
            self.tell("vcpu_resumed", cpu)
            cpu.halt_cond.notify_all()


class StateAfterPause(Merged):
    """Fault (c), H5: the run state is set after the wait, and a resume does not look at it.

    1. The migration thread waits, the last vCPU wakes it; 2. before it holds the big lock again the
    iothread, in a short pause of its own, resumes all vCPUs; 3. the migration thread sees them
    running and waits for ever: nobody asks them to stop again.
    Established: QEMU until f962cac4c2 (2020).
    """

    name = "thread+state-after-pause"
    cpus_class: ClassVar[type[Cpus]] = StateAfterPauseCpus


FAULTS: Final[tuple[type[Thread], ...]] = (
    SkipSetupHarvest,
    DrainWithoutRefill,
    CloseUnderBigLock,
    RamlistMutexLeak,
    EstimateByAppend,
    FlushBeyondBudget,
    StopByBottomHalf,
    NotifyOneStopper,
    StateAfterPause,
)
"""Each fault alone."""
