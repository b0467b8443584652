"""Designs: names, combination, and what each fault does by itself, on real threads."""

from __future__ import annotations

import itertools
import socket
import threading

import pytest

from mig import designs
from mig.designs.faults import (
    FAULTS,
    CloseUnderBigLock,
    DrainWithoutRefill,
    EstimateByAppend,
    FlushBeyondBudget,
    LeakingRamSave,
    NotifyOneCpus,
    NotifyOneStopper,
    SkipSetupHarvest,
    StateAfterPause,
    StateAfterPauseCpus,
    StopByBottomHalf,
)
from mig.designs.later import LATER, CancelWithoutSwap, UnlockedRamSave
from mig.designs.rfc_v1 import RfcV1Unlimited
from mig.designs.thread import Thread
from mig.migration import Migration
from mig.parameters import Parameters
from mig.ram import PAGE_SIZE
from mig.runstate import MigrationState
from tests.mig.machines import WAIT, Notes, make, pair

HARMLESS = [design.name for design in (*FAULTS, *LATER)] + ["rfc_v1", RfcV1Unlimited.name]


def test_names() -> None:
    """Every design is found by its name, faults also together."""
    assert designs.NAMES == tuple(designs.by_name(name).name for name in designs.NAMES)
    assert RfcV1Unlimited is designs.by_name(RfcV1Unlimited.name)
    for design in (*FAULTS, *LATER):
        assert design is designs.by_name(design.name)
    both = "thread+notify-one-stopper+state-after-pause"
    made = designs.by_name(both)
    assert both == made.name
    assert issubclass(made.cpus_class, NotifyOneCpus)
    assert issubclass(made.cpus_class, StateAfterPauseCpus)


@pytest.mark.parametrize("name", ["", "Thread", "thread+", "thread+nothing", "rfc_v1+x"])
def test_unknown(name: str) -> None:
    """An unknown name is refused with those there are."""
    with pytest.raises(ValueError, match=r"choose thread, rfc_v1, .*or thread with .*skip-setup"):
        designs.by_name(name)


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations(FAULTS, 2)))
def test_pairs(one: type[Thread], other: type[Thread]) -> None:
    """Any two faults can be combined, in either order."""
    made = designs.combine(one, other)
    assert issubclass(made, one)
    assert issubclass(made, other)
    assert issubclass(made.cpus_class, one.cpus_class)
    assert issubclass(made.ram_save_class, other.ram_save_class)


@pytest.mark.parametrize("name", HARMLESS)
def test_idle_guest(name: str) -> None:
    """With nothing dirtied, no cancel and a large budget every fault still migrates correctly."""
    with pair(vcpus=0, design=designs.by_name(name)) as made:
        made.source.start()
        migration = made.migrate()
        assert MigrationState.COMPLETED is migration.state.value
        assert made.equal


def test_no_harvest_in_setup() -> None:
    """Fault (a): the first sync finds every page of an idle guest dirty; pages are sent twice."""
    with pair(vcpus=0, pages=10, design=SkipSetupHarvest) as made:
        made.source.start()
        info = made.migrate().info()
        assert (10, 20) == (info.sync_dirty[0], info.ram.duplicate)


def test_drain() -> None:
    """H1: the drain that is never refilled stands still at its budget; the correct one goes on."""
    for design, rest in ((Thread, 0), (DrainWithoutRefill, 3)):
        near, far = socket.socketpair()
        machine = make(vcpus=0, design=design)
        machine.set_parameters(drain_limit=5)
        migration = Migration(machine, near, design)
        migration.channel.append([b"12345678"])
        assert isinstance(migration.design, Thread)
        drain = threading.Thread(
            target=migration.design.drain, kwargs={"big_lock_held": False}, daemon=True
        )
        drain.start()
        with far:
            got = b""
            while len(got) < 8 - rest:
                got += far.recv(8)
            # What ends the spin: an error from elsewhere.
            migration.channel.fail(OSError("enough"))
            drain.join(WAIT)
            assert not drain.is_alive()
            assert (b"12345678"[: 8 - rest], rest) == (got, migration.channel.buffered)
        near.close()
        machine.close()


def test_close_under_big_lock() -> None:
    """H8: the last bytes are written with the big lock held."""
    notes = Notes()
    with pair(design=CloseUnderBigLock) as made:
        made.source.trace.listener = notes
        made.source.start()
        made.migrate()
    assert True is notes.named("write_begin")[-1]["big_lock_held"]
    assert False is notes.named("write_begin")[0]["big_lock_held"]


def test_leak() -> None:
    """H6: a walk that finds an error leaves the ramlist mutex locked."""
    near, far = socket.socketpair()
    machine = make(vcpus=0)
    migration = Migration(machine, near, Thread)
    walk = LeakingRamSave(machine.ram, machine.log, migration.channel, Parameters())
    walk.fill()
    assert walk.iterate()
    assert not machine.ram.mutex.locked()
    migration.channel.fail(OSError("gone"))
    assert [] == walk.iterate()
    assert machine.ram.mutex.locked()
    near.close()
    far.close()
    machine.close()


@pytest.mark.parametrize(
    ("design", "most"), [(Thread, 11), (FlushBeyondBudget, 64), (RfcV1Unlimited, 64)]
)
def test_budget_of_a_window(design: type[Thread], most: int) -> None:
    """One walk and one flush write no more than the window's budget; with the fault, all that was walked."""
    near, far = socket.socketpair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    machine = make(vcpus=0, pages=64, design=design)
    machine.ram.blocks()[0].array[:] = 7
    machine.set_parameters(max_bandwidth=10 * 10 * PAGE_SIZE, batch_pages=1)
    migration = Migration(machine, near, design)
    steps = migration.design
    assert isinstance(steps, Thread)
    steps.ram.fill()
    migration.state.follow("start")
    migration.state.follow("set up")
    steps.iterate()
    steps.flush()
    assert (most - 1) * PAGE_SIZE < migration.channel.appended < (most + 1) * PAGE_SIZE
    assert min(10, most) == min(10, migration.channel.written // PAGE_SIZE)
    assert (most == 64) == (migration.channel.written > steps.channel.limit)
    near.close()
    far.close()
    machine.close()


def test_estimate_by_append() -> None:
    """The estimate from copying is what was appended over the time that took, not the wire's."""
    near, far = socket.socketpair()
    machine = make(vcpus=0)
    machine.set_parameters(downtime_limit_ms=1000)
    migration = Migration(machine, near, EstimateByAppend)
    design = migration.design
    assert isinstance(design, EstimateByAppend)
    design.copied, design.copy_seconds = 3 * PAGE_SIZE, 0.5
    design.measure()
    assert (6.0 * PAGE_SIZE, 6 * PAGE_SIZE) == (migration.bandwidth, migration.threshold)
    near.close()
    far.close()
    machine.close()


@pytest.mark.parametrize("design", [Thread, StopByBottomHalf, NotifyOneStopper, StateAfterPause])
def test_stop(design: type[Thread]) -> None:
    """With nobody else around each way of stopping stops the guest in the end."""
    near, far = socket.socketpair()
    machine = make(design=design, writes=None, rate=1000)
    machine.start()
    migration = Migration(machine, near, design)
    migration.state.follow("start")
    migration.state.follow("set up")
    assert isinstance(migration.design, Thread)
    with machine.big_lock:
        assert migration.design.stop_vm()
    done = threading.Event()
    machine.mainloop.schedule(done.set)
    assert done.wait(WAIT)
    assert machine.cpus.all_stopped()
    near.close()
    far.close()
    machine.close()


def test_cancel_without_swap() -> None:
    """A cancel that saw an active migration takes back one that has meanwhile been handed over."""
    near, far = socket.socketpair()
    machine = make(vcpus=0)
    migration = Migration(machine, near, CancelWithoutSwap)
    migration.state.value = MigrationState.ACTIVE

    class Overtaken:
        def __enter__(self) -> None:
            migration.state.value = MigrationState.COMPLETED

        def __exit__(self, *_: object) -> None:
            """Nothing."""

    migration.state.lock = Overtaken()  # type: ignore[assignment] # the moment between look and write
    migration.cancel()
    assert MigrationState.CANCELLING is migration.state.value
    migration.state.value = MigrationState.COMPLETED
    migration.cancel()
    assert MigrationState.COMPLETED is migration.state.value
    near.close()
    far.close()
    machine.close()


def test_walk_without_mutex() -> None:
    """The walk goes on over a list that has changed, and while somebody else holds its mutex."""
    near, far = socket.socketpair()
    machine = make(vcpus=0)
    machine.plug("dimm", PAGE_SIZE)
    migration = Migration(machine, near, Thread)
    walk = UnlockedRamSave(machine.ram, machine.log, migration.channel, Parameters())
    walk.fill()
    machine.unplug("dimm")
    with machine.ram.mutex:
        body = b"".join(walk.iterate())
    assert b"dimm" in body
    migration.channel.fail(OSError("gone"))
    assert [] == walk.iterate()
    near.close()
    far.close()
    machine.close()
