"""Migrations with a return path: who answers, what is refused, and whose guest runs in the end."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from mig import wire_commands, wire_return
from mig.incoming import Incoming, State
from mig.machine import Machine, MachineError
from mig.return_path import FIRST, HELLO, READY, ReturnPath
from mig.runstate import MigrationState, RunState
from mig.wire_decode import Decoder
from mig.wire_events import Command, EndOfFile
from mig.wire_return import Pong, Shut
from tests.mig.machines import WAIT, Pair, make, pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mig.migration import Migration
    from mig.wire_return import Message


def listening(made: Pair) -> None:
    """Have the source open a return path."""
    made.source.set_capabilities(return_path=True, events=True)


def sides(made: Pair) -> tuple[RunState, RunState]:
    """The run states of both sides."""
    return made.source.cpus.state.value, made.destination.cpus.state.value


@pytest.mark.parametrize("pause", [False, True])
def test_completes(*, pause: bool) -> None:
    """Between stage3s: each knows the other, everything is checked before the guest is given away."""
    with pair(vcpus=2, pages=64) as made:
        listening(made)
        made.source.set_capabilities(pause_before_switchover=pause)
        made.source.events.subscribe(
            lambda _, data: (
                made.source.continue_migration("pre-switchover")
                if data.get("status") == "pre-switchover"
                else None
            )
        )
        made.source.start()
        migration = made.migrate()
        assert made.equal
        assert (MigrationState.COMPLETED, None) == (migration.state.value, migration.error)
        assert (RunState.POSTMIGRATE, RunState.RUNNING) == sides(made)
        assert migration.return_path is not None
        assert (True, 0) == (migration.return_path.own, migration.return_path.shut)
        assert made.incoming.loader.pages() == migration.ram.pages()


def test_opaque_devices() -> None:
    """Devices that only pass through do not keep the destination from answering before the end."""
    with pair(vcpus=1) as made:
        listening(made)
        made.source.registry.add_opaque("apic", 0, 3, b"opaque!")
        made.source.start()
        migration = made.migrate()
        assert (MigrationState.COMPLETED, b"opaque!") == (
            migration.state.value,
            made.incoming.foreign[0].body,
        )


def test_refused() -> None:
    """A destination that lacks a device says so before the commit, and the source runs on."""
    with pair(vcpus=1) as made:
        listening(made)
        load: list[bytes] = []
        made.destination.registry.add_device("tpm", 0, 1, size=1, save=bytes, load=load.append)
        made.source.start()
        migration = made.migrate()
        assert (MigrationState.FAILED, True) == (migration.state.value, made.source.running)
        assert "refused the guest (status 1)" in str(migration.error)
        assert State.FAILED is made.incoming.state
        assert "no state came for tpm/0" in str(made.incoming.error)
        assert not made.destination.running


class Peer:
    """A destination by hand: reads the stream, and at each PING, and at the end, says what it is told to."""

    def __init__(self, sock: socket.socket, answers: dict[int | None, list[Message]]) -> None:
        self.sock = sock
        self.answers = answers
        self.saw_end = False
        self.thread = threading.Thread(target=self.run, name="peer")

    def say(self, at: int | None) -> bool:
        """Say what is said there; False: nothing more comes."""
        for message in self.answers.get(at, []):
            self.sock.sendall(wire_return.encode(message))
        return at in self.answers

    def run(self) -> None:
        """Read until the end, the first question without an answer, or a source that is gone."""
        decoder = Decoder(lambda *_: 8)
        with self.sock:
            while data := self.sock.recv(1 << 20):
                decoder.feed(data)
                for event in decoder:
                    if isinstance(event, EndOfFile):
                        self.saw_end = True
                        self.say(None)
                        return
                    if isinstance(event, Command) and not self.heed(event):
                        return

    def heed(self, event: Command) -> bool:
        """Answer a command."""
        value = wire_commands.parse(event.code, event.data)
        return not isinstance(value, wire_commands.Ping) or self.say(value.value)


QEMU: dict[int | None, list[Message]] = {
    FIRST: [Pong(FIRST)],
    HELLO: [Pong(HELLO)],
    READY: [Pong(READY)],
    None: [Shut(0)],
}


@pytest.fixture
def migrated() -> Iterator[Callable[[dict[int | None, list[Message]]], tuple[Machine, Migration]]]:
    """Migrate a running guest without devices to a peer that answers like that."""
    machines: list[Machine] = []

    def migrate(answers: dict[int | None, list[Message]]) -> tuple[Machine, Migration]:
        near, far = socket.socketpair()
        machine = make(vcpus=0)
        machines.append(machine)
        machine.registry.devices.clear()
        machine.set_capabilities(return_path=True)
        machine.start()
        peer = Peer(far, answers)
        peer.thread.start()
        migration = machine.migrate(near)
        assert migration.join(WAIT)
        peer.thread.join(WAIT)
        return machine, migration

    yield migrate
    for machine in machines:
        machine.close()


def test_foreign(migrated: Callable[..., tuple[Machine, Migration]]) -> None:
    """A destination that answers as QEMU does is no stage3, and gets no claim; the guest is its."""
    machine, migration = migrated(QEMU)
    assert migration.return_path is not None
    assert (MigrationState.COMPLETED, False) == (migration.state.value, migration.return_path.own)
    assert RunState.POSTMIGRATE is machine.cpus.state.value


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({FIRST: [Pong(7)]}, "Pong(value=7), which nobody asked for"),
        ({HELLO: [wire_return.RequestPages(0, 4096, "ram")]}, "RequestPages"),
        ({READY: [Shut(0)]}, "taken over before it was told to"),
        ({READY: [Shut(3)]}, "refused the guest (status 3)"),
        ({None: [Shut(5)]}, "refused the guest (status 5)"),
    ],
)
def test_undone(
    changes: dict[int | None, list[Message]],
    words: str,
    migrated: Callable[..., tuple[Machine, Migration]],
) -> None:
    """Nonsense and refusals before the guest is taken over: it runs on here, and one error says why."""
    machine, migration = migrated({**QEMU, **changes})
    assert (MigrationState.FAILED, True) == (migration.state.value, machine.running)
    assert words in str(migration.info().error)
    assert not migration.outcome_unknown


@pytest.mark.parametrize("at", [FIRST, HELLO, READY])
def test_dies_before_the_end(at: int, migrated: Callable[..., tuple[Machine, Migration]]) -> None:
    """A destination that is gone before it has loaded everything: the guest runs on here."""
    machine, migration = migrated({key: said for key, said in QEMU.items() if key != at})
    assert (MigrationState.FAILED, True) == (migration.state.value, machine.running)
    assert not migration.outcome_unknown


def test_dies_with_the_guest(migrated: Callable[..., tuple[Machine, Migration]]) -> None:
    """A destination that is gone after the end, without a word: nobody knows, so the guest is paused here."""
    machine, migration = migrated({**QEMU, None: []})
    info = migration.info()
    assert ("failed", True) == (info.status, info.outcome_unknown)
    assert "the outcome is unknown" in str(info.error)
    assert RunState.PAUSED is machine.cpus.state.value
    machine.start()
    assert machine.running


def test_garbage(migrated: Callable[..., tuple[Machine, Migration]]) -> None:
    """Bytes that are no message fail the migration with one error that shows them."""
    near, far = socket.socketpair()
    heard: list[Exception] = []
    path = ReturnPath(near, heard.append)
    path.start()
    with far:
        far.sendall(b"HTTP/1.1 400 Bad Request\r\n")
        path.join()
    near.close()
    assert "type 18516" in str(heard[0])
    assert not path.await_greeting()
    machine, migration = migrated({**QEMU, HELLO: [wire_return.ResumeAck(1)]})
    assert (MigrationState.FAILED, True) == (migration.state.value, machine.running)


def test_one_way() -> None:
    """A stream on which nothing can come back is refused before anything is sent, and stays the caller's."""
    machine = make()
    machine.set_capabilities(return_path=True)
    machine.design = type("Deaf", (machine.design,), {"hears": False})
    near, far = socket.socketpair()
    with near, far:
        with pytest.raises(MachineError, match="no answer can come back"):
            machine.migrate(near)
        near.sendall(b"!")
    assert machine.migration is None
    machine.close()


def test_qemu_as_source() -> None:
    """A source that waits for an answer does not close: foreign devices end with their description."""
    source, destination = make("source", vcpus=0), make("destination", vcpus=0)
    source.registry.add_opaque("apic", 0, 3, b"x" * 70_000)
    head, rest = recorded(source)
    near, far = socket.socketpair()
    incoming = Incoming(destination, far)
    incoming.start()
    with near:
        near.sendall(head + b"".join(ReturnPath.greeting()[:2]))
        for at in range(0, len(rest), 1000):
            near.sendall(rest[at : at + 1000])
        decoder = wire_return.ReturnDecoder()
        while data := near.recv(100):
            decoder.feed(data)
        said = list(decoder)
    assert incoming.join(WAIT)
    assert [Pong(FIRST), Shut(0)] == said
    assert (State.COMPLETED, 70_000) == (incoming.state, len(incoming.foreign[0].body))
    source.close()
    destination.close()


def recorded(machine: Machine) -> tuple[bytes, bytes]:
    """The stream of a machine: header and configuration, and the rest."""
    near, far = socket.socketpair()
    machine.start()
    migration = machine.migrate(near)
    with far:
        stream = b"".join(iter(lambda: far.recv(1 << 20), b""))
    assert migration.join(WAIT)
    head = 8 + 5 + len(machine.name)
    return stream[:head], stream[head:]


@pytest.mark.parametrize("return_path", [False, True])
def test_stalls(*, return_path: bool) -> None:
    """A destination that reads nothing ends the migration after the time-out, and the guest runs on here."""
    near, far = socket.socketpair()
    machine = make(pages=1024)
    machine.ram.blocks()[0].array[:] = 1
    machine.set_parameters(stall_timeout_ms=40)
    machine.set_capabilities(return_path=return_path)
    machine.start()
    migration = machine.migrate(near)
    with far:
        assert migration.join(WAIT)
    assert (MigrationState.FAILED, True) == (migration.state.value, machine.running)
    assert "took nothing and said nothing for 0.04 s" in str(migration.error)
    machine.close()
