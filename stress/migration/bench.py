"""The test bench of the scenarios: two machines, a link between them, an oracle that listens.

Promises: everything is made inside the calling thread, so a check controls it; locks carry the
names of `mig.locks`; guests are finite, and `Guest.done` is set when one has done all its stores,
on whichever side. The same code runs under real threads.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Final

import verify
from mig.designs import by_name
from mig.incoming import Incoming
from mig.machine import Machine
from mig.parameters import Parameters
from mig.ram import PAGE_SIZE
from mig.tracepoints import Tracepoints
from mig.vcpu.soft import PageIncrement
from stress.migration.oracle import Oracle

if TYPE_CHECKING:
    from mig.cpus import Vcpu
    from mig.migration import Migration

BLOCK = "ram"
LOW = "low"
STRICT = frozenset({"thread", "merged", "sync_only", "notified", "bitmap_thread"})
"""Designs that promise not to write under the big lock."""
ROUNDS = frozenset({"thread"})
"""Designs that promise to harvest between rounds only."""
MOST_VCPUS: Final = 64
MOST_PAGES: Final = 1 << 16

_slow_vcpus_s = 0.0


def slow_vcpus(seconds: float) -> None:
    """Let every vCPU made here or later sleep before each burst, as single-stepping in a debugger would slow it.

    For runs on real threads; 0 takes it back.
    """
    global _slow_vcpus_s  # noqa: PLW0603 - one process of a stress job has one noise
    _slow_vcpus_s = seconds


def _check(name: str, value: object, low: int, high: int) -> None:
    """Refuse a number that a scenario cannot work with: it was typed behind the scenario's name."""
    if type(value) is not int or not low <= value <= high:
        raise verify.UsageError(f"{name}={value}; give a whole number from {low} to {high}")


class Guest(PageIncrement):
    """A guest program of a few stores that says when it has done them all."""

    done: threading.Event

    def run(self, cpu: Vcpu) -> float | None:
        """Step until asked to leave, or for good."""
        if _slow_vcpus_s:
            time.sleep(_slow_vcpus_s)
        idle = super().run(cpu)
        if idle is None:
            self.done.set()
        return idle


class Bench:
    """A source and a destination of `pages` pages with `vcpus` vCPUs, each of which makes `writes` stores.

    vCPU n writes to pages n, n + 1, ...; pages are shared, words are not. `drain_limit` is the byte
    budget of design `rfc_v1`'s last flush. With `low` the machine has a block of so many pages below that of the guest;
    `small`: pages are walked one by one, two in one hold of the locks.
    """

    def __init__(
        self,
        design: str,
        vcpus: int,
        *,
        pages: int = 16,
        writes: int = 2,
        drain_limit: int | None = None,
        downtime_limit_ms: int = 300,
        born_dirty: bool = True,
        low: int = 0,
        small: bool = False,
        stall_timeout_ms: int = 0,
    ) -> None:
        limit = {} if drain_limit is None else {"drain_limit": drain_limit}
        if small:
            limit |= {"batch_pages": 1, "portion_pages": 2}
        self.parameters = Parameters(
            downtime_limit_ms=downtime_limit_ms,
            # Under a check a time-out can come before anything else: a scenario of its own has one.
            stall_timeout_ms=stall_timeout_ms,
            **limit,
        )
        try:
            self.design = by_name(design)
        except ValueError as error:
            raise verify.UsageError(str(error)) from None
        _check("vcpus", vcpus, 0, MOST_VCPUS)
        _check("pages", pages, 1, MOST_PAGES)
        _check("writes", writes, 0, MOST_PAGES)
        self.born_dirty = born_dirty
        self.blocks = [(LOW, low * PAGE_SIZE)] * (low > 0) + [(BLOCK, pages * PAGE_SIZE)]
        self.pages = pages
        self.writes = writes
        self.sockets: list[socket.socket] = []
        self.done = [threading.Event() for _ in range(vcpus)]
        self.oracle = Oracle(self.content, strict_writes=design in STRICT, rounds=design in ROUNDS)
        self.source = self._machine("source", vcpus)
        for page in range(pages):
            # Some content: a page of zeros takes nine bytes on the wire, and no buffer would ever
            # be full.
            self.source.ram.find(BLOCK).array[page * PAGE_SIZE + PAGE_SIZE // 2 :][
                : PAGE_SIZE // 2
            ] = 1 + page % 255
        self.destination: Machine | None = None
        """The one that receives now."""
        self.destinations: list[Machine] = []
        self.incoming: Incoming | None = None

    def _machine(self, role: str, vcpus: int) -> Machine:
        trace = Tracepoints(role)
        self.oracle.attach(trace)
        machine = Machine(
            "source" if role == "source" else "destination",
            self.blocks,
            [self._guest] * vcpus,
            self.design if role == "source" else by_name("thread"),
            self.parameters,
            trace,
            born_dirty=self.born_dirty,
        )
        _label(machine, "" if role == "source" else "destination ")
        return machine

    def _guest(self, machine: Machine, number: int) -> Guest:
        guest = Guest(
            machine.log,
            machine.ram.find(BLOCK),
            first=0,
            pages=self.pages,
            writes=self.writes,
            slot=number,
        )
        guest.pc = number % self.pages
        guest.done = self.done[number]
        return guest

    def migrate(self, sock: socket.socket) -> Migration:
        """Begin to move the source's guest through `sock`."""
        self.oracle.bitmap = None  # an attempt of before had one of its own
        migration = self.source.migrate(sock)
        verify.label(migration.ram.bitmap.lock, "Bitmap.lock")
        verify.label(migration.channel.lock, "Channel.lock")
        if migration.return_path is not None:
            verify.label(migration.return_path.lock, "ReturnPath.lock")
        self.oracle.watch_bitmap(migration.ram.bitmap)
        return migration

    def receive(self, sock: socket.socket) -> Incoming:
        """Make the destination and let it receive."""
        self.destination = self._machine("destination", len(self.done))
        self.destinations.append(self.destination)
        self.incoming = Incoming(self.destination, sock, before_start=self.compare)
        self.incoming.start()
        return self.incoming

    def content(self, page: int) -> bytes | None:
        """Return the bytes of a page of the source, None where no block holds it."""
        for block in self.source.ram.blocks():
            at = page - block.first_page
            if 0 <= at < block.pages:
                return bytes(block.view[at * PAGE_SIZE : (at + 1) * PAGE_SIZE])
        return None

    def compare(self) -> None:
        """Compare both sides; called when the destination is loaded and has run nothing."""
        if self.destination is None:
            return
        differ = [
            ours.first_page + page
            for ours in map(self.source.ram.find, dict(self.blocks))
            for page in range(ours.pages)
            if ours.view[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]
            != self.destination.ram.find(ours.name).view[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]
        ]
        if differ:
            verify.broken(
                "memory equal", f"pages {differ[:8]} of the destination differ from the source"
            )
        for here, there in zip(self.source.cpus.all, self.destination.cpus.all, strict=True):
            if here.program.save() != there.program.save():
                verify.broken(
                    "devices equal", f"the registers of vCPU {here.number} differ from the source"
                )

    def await_guest(self) -> None:
        """Wait until every vCPU has done its stores, on the side that runs the guest."""
        for done in self.done:
            done.wait()

    def check_locks(self) -> None:
        """When a migration is over, its thread and the guest's need no lock for good."""
        moving, machine = self.source.migration, self.source
        if moving is None or (moving.thread is not None and moving.thread.is_alive()):
            return
        held = {"the bitmap lock": moving.ram.bitmap.lock, "the ramlist mutex": machine.ram.mutex}
        for name, lock in held.items():
            if not verify.is_free(lock):
                verify.broken("locks free at the end", f"the migration is over, and {name} is held")

    def check_one_side(self) -> bool:
        """After the end exactly one side runs the guest, or none if the outcome is unknown; whether one does."""
        sides = [
            machine.role
            for machine in (self.source, self.destination)
            if machine is not None and machine.running
        ]
        moving = self.source.migration
        if moving is not None and moving.outcome_unknown and not sides:
            return False
        if len(sides) != 1:
            verify.broken(
                "one side runs", f"after the end {' and '.join(sides) or 'no side'} runs the guest"
            )
        return True

    def finish(self) -> None:
        """After the end: one side runs the guest, it does what it had to do, and the oracle is content."""
        if self.check_one_side():
            self.await_guest()
        self.oracle.finish()
        self.check_locks()
        self.end()

    def pair(self) -> tuple[socket.socket, socket.socket]:
        """Make two connected sockets that `end` closes."""
        made = socket.socketpair()
        self.sockets += made
        return made

    def end(self, *, also_controlled: bool = False) -> None:
        """End every thread and close every socket; a check does that itself, unless it is to watch."""
        if verify.is_controlled() and not also_controlled:
            return
        for machine in (self.source, *self.destinations):
            machine.close()
        for made in self.sockets:
            made.close()


def _label(machine: Machine, prefix: str) -> None:
    verify.label(machine.big_lock, f"{prefix}Machine.big_lock")
    verify.label(machine.ram.mutex, f"{prefix}RamList.mutex")
    verify.label(machine.cpus.pause_cond, f"{prefix}pause condition")
    for cpu in machine.cpus.all:
        verify.label(cpu.halt_cond, f"{prefix}halt condition of vCPU {cpu.number}")
