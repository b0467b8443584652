"""Whole migrations in one process, on real threads and sockets: completed, cancelled, failed."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from mig.incoming import State
from mig.machine import Machine, MachineError
from mig.parameters import Parameters
from mig.ram import PAGE_SIZE
from mig.runstate import MigrationState, RunState, StateError
from tests.mig.machines import WAIT, Notes, Pair, make, pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mig.cpus import Vcpu
    from mig.migration import Migration


def sides(made: Pair) -> tuple[RunState, RunState]:
    """The run states of both sides."""
    return made.source.cpus.state.value, made.destination.cpus.state.value


@pytest.fixture
def stalled() -> Iterator[tuple[Machine, Migration, socket.socket]]:
    """A running guest whose migration waits for a peer that does not read."""
    near, far = socket.socketpair()
    machine = make(pages=1024, rate=1000, writes=None)
    machine.ram.blocks()[0].array[:] = 1
    machine.start()
    migration = machine.migrate(near)
    with far:
        far.recv(1, socket.MSG_PEEK)
        yield machine, migration, far
        machine.close()


@pytest.mark.parametrize("vcpus", [0, 1, 4])
def test_completes(vcpus: int) -> None:
    """The guest runs on at the destination with the memory and registers it had at the stop."""
    with pair(vcpus=vcpus) as made:
        made.source.start()
        migration = made.migrate()
        assert made.equal
        assert (MigrationState.COMPLETED, None) == (migration.state.value, migration.error)
        assert (RunState.POSTMIGRATE, RunState.RUNNING) == sides(made)
        assert (0, 0) == (migration.ram.bitmap.count, migration.ram.bitmap.population())


def test_busy_guest() -> None:
    """A guest that never stops writing arrives whole, its counters right."""
    with pair(vcpus=2, pages=1024, writes=None, rate=20_000) as made:
        made.source.ram.blocks()[0].array[:] = 1
        made.source.start()
        info = made.migrate().info()
        assert made.equal
        assert ("completed", 0) == (info.status, info.ram.duplicate)
        assert info.ram.normal >= 1024


def test_idle_guest() -> None:
    """Figures of an idle guest: each page once, two syncs beside the setup's, no error."""
    with pair(vcpus=0, pages=10) as made:
        made.source.start()
        made.source.ram.blocks()[0].view[0] = 1
        migration = made.migrate()
        info = migration.info()
        assert (1, 9, PAGE_SIZE) == (info.ram.normal, info.ram.duplicate, info.ram.normal_bytes)
        assert (3, (0, 0), 0) == (info.ram.dirty_sync_count, info.sync_dirty, info.ram.remaining)
        assert (10 * PAGE_SIZE, None) == (info.ram.total, info.error)
        assert made.incoming.received_bytes == info.ram.transferred
        assert 0 < info.downtime < info.total_time
        assert 0 < info.setup_time < info.total_time
        assert info.ram.mbps > 0


def test_paused_guest() -> None:
    """A guest that the user paused arrives paused."""
    with pair() as made:
        made.source.start()
        made.source.stop()
        made.migrate()
        assert made.equal
        assert (RunState.POSTMIGRATE, RunState.PAUSED) == sides(made)


def test_rate_limit() -> None:
    """No window carries more than a tenth of the bandwidth allowed."""
    parameters = Parameters(max_bandwidth=200 * PAGE_SIZE, batch_pages=4)
    notes = Notes()
    with pair(vcpus=0, pages=25, parameters=parameters) as made:
        made.source.start()
        made.source.ram.blocks()[0].array[:] = 1
        made.source.trace.listener = notes
        migration = made.migrate()
        sizes = [int(values["bytes"]) for values in notes.named("write_end")]
        assert 20 * PAGE_SIZE >= sizes[0]
        assert migration.info().total_time >= 100
        assert migration.bandwidth <= 200 * PAGE_SIZE


def test_no_write_under_the_big_lock() -> None:
    """Not one byte is written with the big lock held."""
    notes = Notes()
    with pair() as made:
        made.source.trace.listener = notes
        made.source.start()
        made.migrate()
    held = {values["big_lock_held"] for values in notes.named("write_begin")}
    assert {False} == held
    states = [values["new"] for values in notes.named("migration_state")]
    assert ["setup", "active", "device", "committed", "completed"] == states


def test_cancel(stalled: tuple[Machine, Migration, socket.socket]) -> None:
    """A cancel wakes the blocked writer, and the guest runs on here."""
    machine, migration, _ = stalled
    migration.cancel()
    assert migration.join(WAIT)
    assert MigrationState.CANCELLED is migration.state.value
    assert (None, True) == (migration.info().error, machine.running)
    migration.cancel()
    assert MigrationState.CANCELLED is migration.state.value


def test_cancel_on_the_iothread(stalled: tuple[Machine, Migration, socket.socket]) -> None:
    """The monitor's cancel comes through although the migration is blocked in a write."""
    machine, migration, _ = stalled
    machine.post_cancel()
    assert migration.join(WAIT)
    assert (MigrationState.CANCELLED, True) == (migration.state.value, machine.running)


def test_commands_while_blocked(stalled: tuple[Machine, Migration, socket.socket]) -> None:
    """The user stops and starts the guest while the migration is blocked in a write."""
    machine, migration, _ = stalled
    assert machine.stop()
    machine.start()
    assert (MigrationState.ACTIVE, True) == (migration.state.value, machine.running)


def test_second_migration(stalled: tuple[Machine, Migration, socket.socket]) -> None:
    """One migration at a time; after a cancel the next one sends everything again."""
    machine, first, _ = stalled
    with socket.socket() as sock, pytest.raises(MachineError, match="cancel it or wait"):
        machine.migrate(sock)
    first.cancel()
    assert first.join(WAIT)
    with pair(pages=1024, writes=None, rate=1000) as other:
        other.incoming.start()
        second = machine.migrate(other.near)
        assert second.join(WAIT)
        assert other.incoming.join(WAIT)
        assert (MigrationState.COMPLETED, State.COMPLETED) == (
            second.state.value,
            other.incoming.state,
        )
        assert machine.ram.blocks()[0].memory[:9] == other.destination.ram.blocks()[0].memory[:9]


def test_peer_dies(stalled: tuple[Machine, Migration, socket.socket]) -> None:
    """A destination that goes away fails the migration, and the guest runs on here."""
    machine, migration, far = stalled
    far.close()
    assert migration.join(WAIT)
    assert (MigrationState.FAILED, True) == (migration.state.value, machine.running)
    assert "Broken pipe" in str(migration.info().error)


def test_peer_dies_at_the_end() -> None:
    """A destination that is gone when the tail is due: the stopped guest runs on here."""

    class Killer(Notes):
        def event(self, name: str, **values: int | str | bool) -> None:
            if values.get("new") == "committed":
                far.close()

    near, far = socket.socketpair()
    machine = make()
    machine.trace.listener = Killer()
    machine.start()
    migration = machine.migrate(near)
    assert migration.join(WAIT)
    assert (MigrationState.FAILED, True) == (migration.state.value, machine.running)
    machine.close()


@pytest.mark.parametrize("at", ["setup", "active", "device", "committed", "completed"])
def test_cancel_at_each_state(at: str) -> None:
    """Whenever the cancel comes, exactly one side runs the guest at the end."""

    class Canceller(Notes):
        def event(self, name: str, **values: int | str | bool) -> None:
            if name == "migration_state" and values["new"] == at:
                # The state's own lock is held here, so the cancel comes from a thread of its own.
                threading.Thread(target=cancel).start()

    def cancel() -> None:
        migration = made.source.migration
        if migration is not None:
            migration.cancel()

    with pair() as made:
        made.source.trace.listener = Canceller()
        made.source.start()
        migration = made.migrate()
        runs = [made.source.running, made.destination.running]
        completed = migration.state.value is MigrationState.COMPLETED
        assert [not completed, completed] == runs
        if not completed:
            assert MigrationState.CANCELLED is migration.state.value
            assert State.FAILED is made.incoming.state


def test_cancel_before_the_setup() -> None:
    """A migration cancelled before its thread did anything sends nothing."""
    near, far = socket.socketpair()
    machine = make()
    machine.start()
    with machine.big_lock:
        migration = machine.migrate(near)
        migration.cancel()
    assert migration.join(WAIT)
    assert (MigrationState.CANCELLED, True) == (migration.state.value, machine.running)
    with far:
        assert b"" == far.recv(1)
    machine.close()


def test_cancel_while_it_waits_for_the_window() -> None:
    """A cancel ends the wait for the next window, however long that would go on."""
    near, far = socket.socketpair()
    machine = make(parameters=Parameters(max_bandwidth=1))
    machine.start()
    migration = machine.migrate(near)
    with far:
        assert b"Q" == far.recv(1)
        migration.cancel()
        assert migration.join(WAIT)
    assert (MigrationState.CANCELLED, 1) == (migration.state.value, migration.channel.written)
    machine.close()


class Slow:
    """A program that says when it has to leave, and leaves when it is told that it may."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.asked = threading.Event()
        self.may_leave = threading.Event()

    def run(self, cpu: Vcpu) -> float | None:
        """Wait for the kick, then for the permission."""
        self.entered.set()
        while not cpu.leave():
            pass
        self.asked.set()
        assert self.may_leave.wait(WAIT)
        return 0.0

    def interrupt(self) -> None:
        """It looks by itself."""

    def save(self) -> bytes:
        """No registers."""
        return b""

    def load(self, state: bytes) -> None:
        """No registers."""


def test_cancel_while_it_waits_for_a_vcpu() -> None:
    """A cancel that comes while the vCPUs are being stopped: nothing is completed, all run on."""
    program, notes = Slow(), Notes()
    near, far = socket.socketpair()
    machine = Machine("source", [("ram", PAGE_SIZE)], [lambda _machine, _number: program])
    machine.trace.listener = notes
    machine.start()
    assert program.entered.wait(WAIT)
    migration = machine.migrate(near)
    assert program.asked.wait(WAIT)
    migration.cancel()
    program.may_leave.set()
    with far:
        assert migration.join(WAIT)
    assert (MigrationState.CANCELLED, True) == (migration.state.value, machine.running)
    assert [] == notes.named("complete_begin")
    machine.close()


def test_fault_of_our_own() -> None:
    """A device that raises fails the migration; the guest runs on, and the thread shows the error."""
    raised: list[type[BaseException]] = []
    near, far = socket.socketpair()
    machine = make()

    def save() -> bytes:
        raise ZeroDivisionError

    machine.registry.add_device("broken", 0, 1, size=0, save=save, load=lambda _: None)
    machine.start()
    hook = threading.excepthook
    threading.excepthook = lambda args: raised.append(args.exc_type)
    try:
        migration = machine.migrate(near)
        with far:
            assert migration.join(WAIT)
    finally:
        threading.excepthook = hook
    assert (MigrationState.FAILED, True) == (migration.state.value, machine.running)
    assert [ZeroDivisionError] == raised
    machine.close()


def test_hot_add() -> None:
    """A block that comes during the migration fails it, and the guest runs on here."""
    near, far = socket.socketpair()
    machine = make(pages=1024, vcpus=1)
    machine.ram.blocks()[0].array[:] = 1
    machine.start()
    migration = machine.migrate(near)
    far.recv(1, socket.MSG_PEEK)
    with machine.big_lock:
        machine.ram.add("more", PAGE_SIZE)
    with far:
        while far.recv(1 << 20):
            pass
    assert migration.join(WAIT)
    assert (MigrationState.FAILED, True) == (migration.state.value, machine.running)
    assert "RAM block list changed" in str(migration.error)
    machine.close()


@pytest.fixture
def held() -> Iterator[tuple[Pair, Migration]]:
    """A migration that is held before the switch-over."""
    reached = threading.Event()
    with pair() as made:
        made.source.set_capabilities(pause_before_switchover=True, events=True)
        made.source.events.subscribe(
            lambda _, data: reached.set() if data.get("status") == "pre-switchover" else None
        )
        made.source.start()
        made.incoming.start()
        migration = made.source.migrate(made.near)
        assert reached.wait(WAIT)
        yield made, migration


def test_continued(held: tuple[Pair, Migration]) -> None:
    """Held before the switch-over the guest stands still; continued, it arrives."""
    made, migration = held
    assert RunState.FINISH_MIGRATE is made.source.cpus.state.value
    with pytest.raises(StateError):
        made.source.start()
    with pytest.raises(MachineError, match=r"'pre-switchover', not held in 'device'"):
        made.source.continue_migration("device")
    made.source.continue_migration("pre-switchover")
    assert migration.join(WAIT)
    assert made.incoming.join(WAIT)
    assert made.equal
    assert (RunState.POSTMIGRATE, RunState.RUNNING) == sides(made)
    with pytest.raises(MachineError, match="'completed', not held"):
        made.source.continue_migration("pre-switchover")


def test_cancelled_while_held(held: tuple[Pair, Migration]) -> None:
    """Cancelled before the switch-over, the guest runs on here."""
    made, migration = held
    migration.cancel()
    assert migration.join(WAIT)
    assert made.incoming.join(WAIT)
    assert (MigrationState.CANCELLED, None) == (migration.state.value, migration.error)
    assert (True, False) == (made.source.running, made.destination.running)


def test_nothing_held() -> None:
    """Without a migration nothing can be continued."""
    machine = make()
    with pytest.raises(MachineError, match="no migration was started"):
        machine.continue_migration("pre-switchover")
    machine.close()
