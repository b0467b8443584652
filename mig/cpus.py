"""The vCPU threads: how they run the guest, stop and go on.

Promises: when `vm_stop` returned, every vCPU is stopped and stays so until a resume that comes
later; two threads may stop at the same time and both return when that is so. A resume does nothing
unless the run state says that the guest runs. vCPUs hold the big lock except inside the guest.
Assumes: every method is called with the big lock held, by a thread that is no vCPU; waiting
releases the lock.
Does not: decide who may start the guest (`mig.runstate`), nor know migrations.

The flags `stop` (asked to), `stopped` (does not run), `kicked` (leave the guest) and `exited` are
changed only with the big lock held; a vCPU inside the guest looks at `kicked` between two steps.

Three repairs of this hand-shake are in force, each against a lost wake-up or an early resume:
- `acknowledge` wakes all waiters. With one wake-up: 1. iothread and migration thread wait; 2. the
  last vCPU wakes the iothread; 3. the migration thread waits for ever. (QEMU 96bce6831b)
- `vm_stop` changes the run state before it waits, and `resume_all` looks at it. Otherwise: 1. the
  migration thread waits, the last vCPU wakes it; 2. before it has the lock again, another thread
  resumes all vCPUs; 3. it sees them running and waits for ever. (QEMU f962cac4c2)
- A stop that a legal resume overtook returns, as if it had returned before the resume.

Source: QEMU cpus.c; aa723c2314 (a stop is carried out in place by every thread but a vCPU).
"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Final, Protocol

from mig.runstate import RUN_TRANSITIONS, RunState, StateCell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mig.tracepoints import Tracepoints

SLICE: Final = 0.01
"""Seconds that a slowed vCPU runs at a time."""
MOST_THROTTLE: Final = 99
"""Percent."""


class Program(Protocol):
    """What a vCPU executes."""

    def run(self, cpu: Vcpu) -> float | None:
        """Execute until `cpu.leave()` is true or the guest idles, without the big lock.

        Returns seconds to idle, None to idle until the machine ends, 0 when it has to leave.
        """

    def interrupt(self) -> None:
        """Have a `run` that is under way, or about to begin, look at `cpu.leave()` in bounded time.

        The big lock is held. A program that looks often enough by itself does nothing.
        """

    def save(self) -> bytes:
        """The registers, always equally many bytes."""

    def load(self, state: bytes) -> None:
        """Take over registers; raises `ValueError` for bytes that are none."""


class Vcpu:
    """One virtual CPU: its number, its program, its flags and its thread."""

    def __init__(self, number: int, program: Program, cpus: Cpus) -> None:
        self.number = number
        self.program = program
        self.stop = False
        self.stopped = True
        self.kicked = False
        self.exited = False
        self.runs_until = math.inf
        """When its slice ends, on the monotonic clock, while vCPUs are slowed; else never."""
        self.halt_cond = threading.Condition(cpus.big_lock)
        self.thread = threading.Thread(
            target=cpus.run_vcpu, args=(self,), name=f"vcpu {number}", daemon=True
        )
        self._trace = cpus.trace

    def leave(self) -> bool:
        """Whether the guest has to be left; for the program, between two of its steps."""
        if (listener := self._trace.listener) is not None:
            listener.access("exit_request", self.number, self.number + 1, False)
        return self.kicked or (self.runs_until < math.inf and time.monotonic() >= self.runs_until)


class Cpus:
    """All vCPUs of a machine, their run state, and the conditions they wait on."""

    def __init__(
        self,
        big_lock: threading.Lock,
        trace: Tracepoints,
        programs: Sequence[Program],
        state: RunState,
    ) -> None:
        self.big_lock = big_lock
        self.trace = trace
        self.pause_cond = threading.Condition(big_lock)
        self.state = StateCell("run state", RUN_TRANSITIONS, state, trace)
        self.resume_wanted = False
        """Whether the guest runs again after a migration that fails, and at the destination."""
        self.resumes = 0
        """How often all vCPUs were resumed."""
        self.started = False
        self.notifiers: list[Callable[[bool], None]] = []
        """Told, with the big lock held, when every vCPU was stopped (False) and when they run again (True)."""
        self.throttle_percent = 0
        """Share of the time that the vCPUs sleep."""
        self.heard: Callable[[str], None] | None = None
        """Told STOP when the running guest was stopped, RESUME when it goes on; with the big lock held."""
        self.all = [Vcpu(number, program, self) for number, program in enumerate(programs)]

    def start_threads(self) -> None:
        """Start the vCPU threads, once; they wait, stopped."""
        if not self.started:
            self.started = True
            for cpu in self.all:
                cpu.thread.start()

    # --- the vCPU threads ---------------------------------------------------------------------

    def run_vcpu(self, cpu: Vcpu) -> None:
        """Body of a vCPU thread."""
        idle: float | None = 0.0
        with self.big_lock:
            while self.wait_runnable(cpu, idle):
                self.big_lock.release()
                try:
                    idle = cpu.program.run(cpu)
                except Exception:
                    # Whoever waits for this vCPU must not wait for ever; the thread shows the error.
                    self.big_lock.acquire()
                    cpu.exited = cpu.stopped = True
                    self.pause_cond.notify_all()
                    raise
                self.big_lock.acquire()

    def wait_runnable(self, cpu: Vcpu, idle: float | None) -> bool:
        """Stop, or sleep in the guest, until `cpu` may execute; False when it has to end."""
        while not cpu.exited:
            cpu.kicked = False
            if cpu.stop:
                self.acknowledge(cpu)
            if cpu.stopped or idle is None:
                cpu.halt_cond.wait()
            elif idle > 0:
                cpu.halt_cond.wait(idle)
                idle = 0.0
            elif (rest := self.rest(cpu)) > 0:
                cpu.halt_cond.wait(rest)
            else:
                return True
        return False

    def rest(self, cpu: Vcpu) -> float:
        """Seconds that `cpu` still has to sleep between its slices; a kick wakes it, and it is asked again."""
        if not self.throttle_percent:
            cpu.runs_until = math.inf
            return 0.0
        now = time.monotonic()
        if cpu.runs_until < math.inf:
            share = self.throttle_percent / 100
            rest = cpu.runs_until + SLICE * share / (1 - share) - now
            if now < cpu.runs_until:
                return 0.0
            if rest > 0:
                return rest
        cpu.runs_until = now + SLICE
        return 0.0

    def throttle(self, percent: int) -> None:
        """Have every vCPU sleep `percent` (0 to 99) of the time, between slices of 10 ms; 0: run freely.

        Source: QEMU softmmu/cpu-throttle.c. Asleep, a vCPU obeys a stop at once.
        """
        if not 0 <= percent <= MOST_THROTTLE:
            raise ValueError(f"throttle of {percent} percent; give 0 to {MOST_THROTTLE}")
        if percent != self.throttle_percent:
            self.throttle_percent = percent
            for cpu in self.all:
                self.kick(cpu)

    def acknowledge(self, cpu: Vcpu) -> None:
        """Called by the vCPU: it is stopped now; all who wait for that look again."""
        cpu.stop = False
        cpu.stopped = True
        self.tell("vcpu_stopped", cpu)
        self.pause_cond.notify_all()

    def tell(self, event: str, cpu: Vcpu) -> None:
        """Tell the listener an event of one vCPU."""
        if (listener := self.trace.listener) is not None:
            listener.event(event, vcpu=cpu.number)

    # --- stopping and going on -----------------------------------------------------------------

    def kick(self, cpu: Vcpu) -> None:
        """Have `cpu` leave the guest, or wake from idling, and look at its flags."""
        cpu.kicked = True
        cpu.program.interrupt()
        cpu.halt_cond.notify_all()

    def all_stopped(self) -> bool:
        """Whether no vCPU runs or may begin to."""
        return all(cpu.stopped for cpu in self.all)

    def request_stop(self) -> None:
        """Ask every running vCPU to stop."""
        for cpu in self.all:
            if not cpu.stopped:
                cpu.stop = True
                self.kick(cpu)

    def pause_all(self) -> bool:
        """Wait until every vCPU is stopped; False when a resume came in between."""
        resumes = self.resumes
        self.request_stop()
        while not self.all_stopped() and self.resumes == resumes:
            self.pause_cond.wait()
        return self.resumes == resumes

    def resume_all(self) -> None:
        """Let every vCPU run, if the run state says that the guest runs."""
        if self.state.value is not RunState.RUNNING:
            return
        self.start_threads()
        self.resumes += 1
        for cpu in self.all:
            cpu.stop = False
            cpu.stopped = cpu.exited
            self.tell("vcpu_resumed", cpu)
            cpu.halt_cond.notify_all()
        # Whoever waits for a stop learns that it was overtaken.
        self.pause_cond.notify_all()

    def while_paused(self, work: Callable[[], None]) -> None:
        """Do `work` while no vCPU runs, then let them go on; the run state stays (a reset)."""
        while not self.pause_all():
            # Another pause like this one ended in between.
            pass
        work()
        self.resume_all()

    def vm_stop(self, event: str) -> bool:
        """Stop the guest for `event` ("stop": the user, "migration_stop"); waits for every vCPU.

        The user's stop of a guest that does not run, or that the migration has stopped, changes no
        state, but it too returns only when all vCPUs are stopped. False: a resume overtook it.
        """
        running = self.state.value is RunState.RUNNING
        if event == "migration_stop":
            self.resume_wanted = running
            self.state.follow(event)
        else:
            self.resume_wanted = False
            if self.state.value in {RunState.RUNNING, RunState.INMIGRATE}:
                self.state.follow(event)
        stopped = self.pause_all()
        if stopped and (listener := self.trace.listener) is not None:
            listener.event("vm_stopped", role=self.trace.role)
        if stopped:
            self.notify(running=False)
        if running and stopped and self.heard is not None:
            self.heard("STOP")
        return stopped

    def notify(self, *, running: bool) -> None:
        """Tell those who want to know."""
        for told in tuple(self.notifiers):
            told(running)

    def vm_start(self, event: str) -> None:
        """Let the guest run after `event`; raises `StateError` while a migration owns the stop."""
        running = self.state.follow(event) is RunState.RUNNING
        self.resume_all()
        self.notify(running=running)
        if running and self.heard is not None:
            self.heard("RESUME")

    def undo_stop(self) -> None:
        """The migration that stopped the guest failed: run on, unless the user stopped it too."""
        if self.state.value is RunState.FINISH_MIGRATE:
            wanted = self.resume_wanted
            self.vm_start("migration_undone" if wanted else "migration_undone_paused")

    def end(self) -> None:
        """Ask every vCPU thread to end; join them without the big lock."""
        for cpu in self.all:
            cpu.exited = True
            cpu.stopped = True
            self.kick(cpu)
        self.pause_cond.notify_all()

    def join(self) -> None:
        """Wait for the threads to end; called without the big lock."""
        if self.started:
            for cpu in self.all:
                cpu.thread.join()
