"""Small machines, listeners and sockets for the tests of the engine."""

from __future__ import annotations

import contextlib
import socket
from functools import partial
from typing import TYPE_CHECKING

from mig.designs.thread import Thread
from mig.incoming import Incoming
from mig.machine import Machine
from mig.ram import PAGE_SIZE
from mig.vcpu.soft import PageIncrement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mig.designs.base import Design
    from mig.machine import Role
    from mig.migration import Migration
    from mig.parameters import Parameters

WAIT = 20.0
"""Seconds after which a test calls a hang a hang."""


class Notes:
    """A listener that notes accesses and events."""

    def __init__(self) -> None:
        self.accesses: list[tuple[str, int, int, bool]] = []
        self.events: list[tuple[str, dict[str, int | str | bool]]] = []

    def access(self, name: str, lo: int, hi: int, write: bool) -> None:
        """Note it."""
        self.accesses.append((name, lo, hi, write))

    def event(self, name: str, **values: int | str | bool) -> None:
        """Note it."""
        self.events.append((name, values))

    def named(self, name: str) -> list[dict[str, int | str | bool]]:
        """The values of all events of that name."""
        return [values for event, values in self.events if event == name]


def increment(machine: Machine, number: int, writes: int | None, rate: int | None) -> PageIncrement:
    """A program over the first block, in a slot of its own."""
    block = machine.ram.blocks()[0]
    return PageIncrement(
        machine.log, block, slot=number, writes=writes, rate=rate, stride=2 * number + 1
    )


def make(
    role: Role = "source",
    *,
    pages: int = 8,
    vcpus: int = 2,
    writes: int | None = 5,
    rate: int | None = None,
    design: type[Design] = Thread,
    parameters: Parameters | None = None,
) -> Machine:
    """A machine of one block and vCPUs that increment its pages."""
    programs = [partial(increment, writes=writes, rate=rate)] * vcpus
    return Machine(role, [("ram", pages * PAGE_SIZE)], programs, design, parameters)


class Pair:
    """A source and a destination, and what the destination held before its first step."""

    def __init__(self, **options: object) -> None:
        self.source = make("source", **options)  # type: ignore[arg-type]
        self.destination = make("destination", **options)  # type: ignore[arg-type]
        near, far = socket.socketpair()
        self.near = near
        self.equal: bool | None = None
        self.incoming = Incoming(self.destination, far, before_start=self.compare)

    def contents(self, machine: Machine) -> tuple[list[bytes], list[bytes]]:
        """Memory and registers."""
        memory = [bytes(block.view) for block in machine.ram.blocks()]
        return memory, [cpu.program.save() for cpu in machine.cpus.all]

    def compare(self) -> None:
        """Compare both sides."""
        self.equal = self.contents(self.source) == self.contents(self.destination)

    def migrate(self, after_start: Callable[[Migration], None] | None = None) -> Migration:
        """Run one migration to its end."""
        self.incoming.start()
        migration = self.source.migrate(self.near)
        if after_start is not None:
            after_start(migration)
        assert migration.join(WAIT)
        assert self.incoming.join(WAIT)
        return migration


@contextlib.contextmanager
def pair(**options: object) -> Iterator[Pair]:
    """A pair that is closed at the end."""
    made = Pair(**options)
    try:
        yield made
    finally:
        made.source.close()
        made.destination.close()
