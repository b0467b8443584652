"""The designs without a known fault, on real threads: whichever runs the migration, the outcome is the same."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import pytest

from mig import designs
from mig.designs.base import Steps
from mig.migration import Migration
from mig.parameters import Parameters
from mig.ram import PAGE_SIZE
from mig.runstate import MigrationState, RunState
from tests.mig.machines import WAIT, Notes, make, pair

if TYPE_CHECKING:
    from mig.designs.base import Design


@pytest.fixture(params=designs.HEALTHY)
def design(request: pytest.FixtureRequest) -> type[Design]:
    """Each of them."""
    name: str = request.param
    return designs.by_name(name)


@pytest.mark.parametrize("xbzrle", [False, True])
def test_busy_guest(design: type[Design], *, xbzrle: bool) -> None:
    """A guest that writes all the time is moved, byte for byte."""
    parameters = Parameters(max_bandwidth=64 << 20, downtime_limit_ms=1000)
    with pair(design=design, pages=512, writes=None, rate=5000, parameters=parameters) as made:
        made.source.set_capabilities(xbzrle=xbzrle)
        made.source.ram.blocks()[0].array[: 256 * PAGE_SIZE] = 7
        made.source.start()
        migration = made.migrate()
        assert (MigrationState.COMPLETED, True) == (migration.state.value, made.equal)
        assert RunState.POSTMIGRATE is made.source.cpus.state.value
        assert made.destination.running


def test_destination_dies(design: type[Design]) -> None:
    """The destination goes away in the middle: the guest runs on here, and can be moved again."""
    near, far = socket.socketpair()
    with pair(design=design, pages=2048, vcpus=1, writes=None, rate=500) as made:
        made.source.ram.blocks()[0].array[:] = 7
        made.source.start()
        failed = made.source.migrate(near)
        far.recv(PAGE_SIZE)
        far.close()
        assert failed.join(WAIT)
        assert (MigrationState.FAILED, True) == (failed.state.value, made.source.running)
        assert MigrationState.COMPLETED is made.migrate().state.value
        assert made.equal


def test_cancel(design: type[Design]) -> None:
    """Cancelled while the destination does not read: the guest runs on here."""
    near, far = socket.socketpair()
    machine = make(design=design, pages=2048, writes=None, rate=500)
    machine.ram.blocks()[0].array[:] = 7
    machine.start()
    migration = machine.migrate(near)
    far.recv(1)
    migration.cancel()
    assert migration.join(WAIT)
    assert (MigrationState.CANCELLED, True) == (migration.state.value, machine.running)
    far.close()
    machine.close()


def test_pause_before_switchover(design: type[Design]) -> None:
    """Held before the switch-over the iothread is free, and the guest arrives once it is continued."""
    reached = threading.Event()
    with pair(design=design) as made:
        made.source.set_capabilities(pause_before_switchover=True, events=True)
        made.source.events.subscribe(
            lambda _, data: reached.set() if data.get("status") == "pre-switchover" else None
        )
        made.source.start()
        made.incoming.start()
        migration = made.source.migrate(made.near)
        assert reached.wait(WAIT)
        free = threading.Event()
        made.source.mainloop.schedule(free.set)
        assert free.wait(WAIT)
        made.source.continue_migration("pre-switchover")
        assert migration.join(WAIT)
        assert made.incoming.join(WAIT)
        assert (MigrationState.COMPLETED, True) == (migration.state.value, made.equal)


def test_changed_list(design: type[Design]) -> None:
    """A block that is plugged meanwhile ends the migration, and the guest runs on."""
    near, far = socket.socketpair()
    machine = make(design=design, pages=2048, writes=None, rate=500)
    machine.ram.blocks()[0].array[:] = 7
    machine.start()
    migration = machine.migrate(near)
    far.recv(1)
    machine.plug("dimm", PAGE_SIZE)
    while far.recv(1 << 20):
        pass
    assert migration.join(WAIT)
    assert "RAM block list changed" in str(migration.error)
    assert machine.running
    far.close()
    machine.close()


@pytest.mark.parametrize("name", ["sync_only", "bitmap_thread"])
def test_walk_outside_the_big_lock(name: str) -> None:
    """While the guest runs, RAM is walked with the big lock free for others."""
    held: list[bool] = []

    class Looking(Notes):
        def access(self, name: str, lo: int, hi: int, write: bool) -> None:
            if name == "guest_page" and not write and not self.named("vm_stopped"):
                held.append(made.source.big_lock.locked())
            super().access(name, lo, hi, write)

    with pair(design=designs.by_name(name), vcpus=0, pages=64) as made:
        made.source.trace.listener = Looking()
        made.source.ram.blocks()[0].array[:] = 7
        made.source.start()
        made.migrate()
        assert held
        assert not any(held)


def test_release_ram() -> None:
    """Given away for good, the guest's memory is given back; a migration that fails releases nothing."""
    near, far = socket.socketpair()
    with pair(pages=64, vcpus=0) as made:
        block = made.source.ram.blocks()[0]
        block.array[:] = 7
        made.source.set_capabilities(release_ram=True)
        made.source.start()
        far.close()
        assert made.source.migrate(near).join(WAIT)
        assert block.array.all()
        made.migrate()
        assert not block.array.any()
        assert made.destination.ram.blocks()[0].array.all()


@pytest.mark.slow
def test_auto_converge(monkeypatch: pytest.MonkeyPatch) -> None:
    """A guest that dirties faster than is sent is slowed down until it can be moved, and no longer."""
    monkeypatch.setattr("mig.convergence.PERIOD", 0.05)
    parameters = Parameters(max_bandwidth=8 << 20, downtime_limit_ms=100, cpu_throttle_initial=99)
    with pair(pages=256, vcpus=1, writes=None, parameters=parameters) as made:
        made.source.set_capabilities(auto_converge=True)
        made.source.ram.blocks()[0].array[:] = 7
        made.source.start()
        seen: list[int] = []
        made.source.cpus.notifiers.append(lambda _: seen.append(made.source.cpus.throttle_percent))
        migration = made.migrate()
        assert (MigrationState.COMPLETED, True) == (migration.state.value, made.equal)
        assert ([99], 0) == (seen[:1], made.source.cpus.throttle_percent)


def test_pace() -> None:
    """What deltas save counts for what may be left at the stop; what the wire carries is measured as it is."""
    near, far = socket.socketpair()
    machine = make(vcpus=0, pages=64)
    machine.set_capabilities(xbzrle=True)
    machine.set_parameters(downtime_limit_ms=1000)
    migration = Migration(machine, near, machine.design)
    deltas = migration.ram.deltas
    assert isinstance(migration.design, Steps)
    assert deltas is not None
    deltas.stats.pages, deltas.stats.bytes = 1000, 96_000
    migration.channel.append([bytes(PAGE_SIZE)])
    migration.channel.flush()
    migration.design.measure()
    saved = (1000 * PAGE_SIZE - 96_000) / PAGE_SIZE * migration.bandwidth
    assert abs(migration.pace - migration.bandwidth - saved) <= saved / 2
    assert migration.threshold == int(migration.pace)
    migration.channel.append([bytes(PAGE_SIZE)])
    migration.channel.flush()
    migration.design.measure()
    assert migration.pace == migration.bandwidth
    near.close()
    far.close()
    machine.close()
