"""A return path with a real QEMU at the other end: it answers ours, and ours answers it."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import pytest

from bench.qemu import cells
from bench.qemu.process import Qemu, QemuError, present
from mig import transport
from mig.designs.thread import Thread
from mig.incoming import Incoming, State
from mig.machine import Machine
from mig.parameters import Parameters
from mig.ram import PAGE_SIZE
from mig.runstate import MigrationState
from tests.mig.machines import WAIT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not present(), reason="no qemu-system-x86_64")
SIZE = 4 << 20


@pytest.mark.parametrize("xbzrle", [False, True])
def test_to_qemu(tmp_path: Path, *, xbzrle: bool) -> None:
    """QEMU answers as no stage3 does; it has loaded all before the guest is given away, and takes over."""
    arguments = ["-machine", "none", "-m", str(SIZE >> 20), "-S", "-incoming", f"unix:{tmp_path}/s"]
    machine = Machine("source", [("ram", SIZE)], parameters=Parameters(max_bandwidth=1 << 33))
    memory = cells.filling("dirtied", SIZE)
    machine.ram.find("ram").view[:] = memory
    with Qemu(arguments, tmp_path) as qemu, contextlib.closing(machine):
        machine.set_capabilities(return_path=True, xbzrle=xbzrle)
        machine.start()
        migration = machine.migrate(transport.connect(f"unix:{tmp_path}/s"))
        assert migration.join(WAIT)
        assert (MigrationState.COMPLETED, None) == (migration.state.value, migration.error)
        assert migration.return_path is not None
        assert (False, 0) == (migration.return_path.own, migration.return_path.shut)
        qemu.wait_migrated()
        assert memory == qemu.memory(SIZE, tmp_path)


def test_qemu_refuses(tmp_path: Path) -> None:
    """A QEMU that cannot load a device ends before it answers; the guest runs on at the source for sure."""
    arguments = ["-machine", "none", "-m", str(SIZE >> 20), "-S", "-incoming", f"unix:{tmp_path}/s"]
    machine = Machine("source", [("ram", SIZE)])
    machine.registry.add_opaque("tpm", 0, 1, b"state")
    with Qemu(arguments, tmp_path), contextlib.closing(machine):
        machine.set_capabilities(return_path=True)
        machine.start()
        migration = machine.migrate(transport.connect(f"unix:{tmp_path}/s"))
        assert migration.join(WAIT)
        assert (MigrationState.FAILED, True) == (migration.state.value, machine.running)
        assert not migration.outcome_unknown


class CancelAtTheEnd(Thread):
    """Everything but the tail is written; then it is cancelled."""

    name = "thread+cancel-at-the-end"

    def drain(self, *, big_lock_held: bool) -> None:
        """Write, and cancel."""
        super().drain(big_lock_held=big_lock_held)
        self.cancel_now()


def test_cancel_at_the_end(tmp_path: Path) -> None:
    """Everything but the tail is there when the source takes the guest back: QEMU does not start it, too."""
    arguments = ["-machine", "none", "-m", str(SIZE >> 20), "-incoming", f"unix:{tmp_path}/s"]
    machine = Machine("source", [("ram", SIZE)], design=CancelAtTheEnd)
    with Qemu(arguments, tmp_path) as qemu, contextlib.closing(machine):
        machine.start()
        migration = machine.migrate(transport.connect(f"unix:{tmp_path}/s"))
        assert migration.join(WAIT)
        assert (MigrationState.CANCELLED, True) == (migration.state.value, machine.running)
        with pytest.raises((QemuError, ConnectionError)):
            until_gone(qemu)


def until_gone(qemu: Qemu) -> None:
    """Ask a QEMU how it is until it is gone; `AssertionError` if it runs a guest."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        assert qemu.query("query-status")["status"] == "inmigrate"
        time.sleep(0.005)


def test_from_qemu(tmp_path: Path) -> None:
    """QEMU as a source waits for the last word; every page and device came, and it completes."""
    with (
        transport.listen(f"unix:{tmp_path}/s") as listener,
        Qemu(["-machine", "pc", "-m", f"{(SIZE >> 10) + 4}K", "-S"], tmp_path) as qemu,
    ):
        arrived: list[Incoming] = []

        def receive() -> None:
            machine, stream = cells.adopt(listener.accept(WAIT))
            with contextlib.closing(machine):
                arrived.append(Incoming(machine, stream, paused=True))
                arrived[0].run()

        receiver = threading.Thread(target=receive)
        receiver.start()
        qemu.capabilities("return-path")
        qemu.execute("migrate-set-parameters", **cells.FAST)
        qemu.execute("migrate", uri=listener.uri)
        qemu.wait_migrated()
        receiver.join(WAIT)
        assert (State.COMPLETED, None) == (arrived[0].state, arrived[0].error)
        assert sum(arrived[0].loader.pages().values()) >= SIZE // PAGE_SIZE
        assert arrived[0].foreign
