"""A machine's commands, devices and end."""

from __future__ import annotations

import socket
import threading

import pytest

from mig.machine import MachineError
from mig.ram import PAGE_SIZE, RamError
from mig.ram_load import LoadError
from mig.runstate import RunState, StateError
from tests.mig.machines import WAIT, make


def test_start_and_stop() -> None:
    """The user starts, stops, and is refused what makes no sense."""
    machine = make()
    machine.start()
    with pytest.raises(StateError, match=r"'start' .*'running'; possible: stop"):
        machine.start()
    assert machine.stop()
    machine.start()
    machine.post_stop()
    stopped = threading.Event()
    machine.mainloop.schedule(stopped.set)
    assert stopped.wait(WAIT)
    assert RunState.PAUSED is machine.cpus.state.value
    machine.close()


def test_reset() -> None:
    """A reset pauses the vCPUs for a moment and changes no state."""
    machine = make(writes=None, rate=1000)
    machine.start()
    resumes = machine.cpus.resumes
    machine.post_reset()
    done = threading.Event()
    machine.mainloop.schedule(done.set)
    assert done.wait(WAIT)
    assert (resumes + 1, True) == (machine.cpus.resumes, machine.running)
    machine.close()


@pytest.mark.parametrize("running", [True, False])
def test_close(running: bool) -> None:
    """Closing ends every thread, migration or not, and may be repeated."""
    before = threading.active_count()
    machine = make(pages=512)
    near, far = socket.socketpair()
    if running:
        machine.ram.blocks()[0].array[:] = 1
        machine.start()
        machine.migrate(near)
    machine.close()
    machine.close()
    near.close()
    far.close()
    assert (before, RunState.SHUTDOWN) == (threading.active_count(), machine.cpus.state.value)


def test_no_guest_to_migrate() -> None:
    """A destination that waits for its guest, and a closed machine, have nothing to migrate."""
    machine = make("destination")
    with socket.socket() as sock:
        with pytest.raises(MachineError, match="'inmigrate'"):
            machine.migrate(sock)
        machine.close()
        with pytest.raises(MachineError, match="'shutdown'"):
            machine.migrate(sock)


def test_devices() -> None:
    """Sizes are known for own devices only; those that must come are named when missing."""
    machine = make("destination", vcpus=2)
    assert (16, None, None) == (
        machine.device_size("vcpu", 1, 1),
        machine.device_size("vcpu", 1, 2),
        machine.device_size("vcpu", 2, 1),
    )
    assert ["vcpu/1"] == machine.missing_devices([("vcpu", 0), ("apic", 0)])
    machine.close()


@pytest.mark.parametrize(
    ("name", "body", "wrong"),
    [
        ("vcpu", b"short", "5 bytes of registers"),
        ("apic", b"", "device 'apic', instance 0, version 1 is not there"),
        ("globalstate", bytes(104), "a run state of 0 bytes"),
    ],
)
def test_bad_state(name: str, body: bytes, wrong: str) -> None:
    """State that a device cannot have is refused."""
    machine = make("destination")
    with pytest.raises(LoadError, match=wrong):
        machine.load_device(name, 0, 1, body)
    machine.close()


def test_hotplug() -> None:
    """A block comes and goes, in list and log, with both locks free afterwards; unknown and known names are refused."""
    machine = make(pages=2, vcpus=0)
    version = machine.ram.version
    block = machine.plug("dimm", 2 * PAGE_SIZE)
    assert (2, [0, 1]) == (block.first_page, machine.log.harvest(block).pages.tolist())
    with pytest.raises(RamError, match="'dimm' is there already"):
        machine.plug("dimm", PAGE_SIZE)
    machine.unplug("dimm")
    with pytest.raises(RamError, match="no RAM block 'dimm'; there are: ram"):
        machine.unplug("dimm")
    assert (version + 2, ["ram"]) == (
        machine.ram.version,
        [each.name for each in machine.ram.blocks()],
    )
    with pytest.raises(KeyError):
        machine.log.harvest(block)
    assert not machine.big_lock.locked()
    assert not machine.ram.mutex.locked()
    machine.close()
