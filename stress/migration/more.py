"""Migrations out of the ordinary: a second attempt, a guest never started, a peer that stops reading, a device.

Every function is one scenario, in the manner of `whole`. Promises: a migration is refused where the guest has gone, and
possible where it is; a cancel ends what nothing else would; a guest that did not run does not run elsewhere by itself.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING

import verify
from mig.machine import MachineError
from mig.ram import PAGE_SIZE
from mig.runstate import MigrationState
from stress.migration.bench import BLOCK, LOW, Bench
from stress.migration.closed import prepared

if TYPE_CHECKING:
    from mig.migration import Migration


def again_after_cancel(design: str = "thread", vcpus: int = 1, pages: int = 4) -> None:
    """A migration is cancelled, and the guest migrated anew; one that completed all the same cannot be repeated."""
    bench = Bench(design, vcpus, pages=pages, writes=2, low=1)
    near, far = bench.pair()
    bench.source.start()
    bench.receive(far)
    moving = bench.migrate(near)
    moving.cancel()
    _ended(bench, moving)
    bench.check_one_side()
    bench.oracle.syncs.clear()
    near, far = bench.pair()
    if moving.state.value is MigrationState.CANCELLED:
        bench.receive(far)
        moving = bench.migrate(near)
        _ended(bench, moving)
        _expect(moving, MigrationState.COMPLETED)
        bench.finish()
        _own_figures(bench, moving)
    else:
        _refused(bench, moving)
        bench.finish()


def _own_figures(bench: Bench, moving: Migration) -> None:
    """An attempt tells of its own syncs."""
    syncs = tuple(newly for number, newly, _ in bench.oracle.syncs if number)
    if moving.info().sync_dirty != syncs:
        verify.broken(
            "figures of this attempt",
            f"the second attempt's syncs found {syncs}, it says {moving.info().sync_dirty}",
        )


def _refused(bench: Bench, moving: Migration) -> None:
    """After the guest has gone there is nothing to migrate."""
    _expect(moving, MigrationState.COMPLETED)
    near, far = bench.pair()
    try:
        again = bench.source.migrate(near)
    except MachineError:
        return
    far.close()
    again.join()
    verify.broken("nothing to migrate", "a machine whose guest has gone began to migrate it again")


def not_started(design: str = "thread", vcpus: int = 1, pages: int = 2) -> None:
    """A guest that was never started is moved; it begins at the destination when the user says so, and not before."""
    bench = Bench(design, vcpus, pages=pages, writes=1)
    near, far = bench.pair()
    bench.receive(far)
    moving = bench.migrate(near)
    _ended(bench, moving)
    _expect(moving, MigrationState.COMPLETED)
    destination = bench.destination
    if destination is None or destination.running or bench.source.running:
        verify.broken("stays stopped", "a guest that was never started runs after its migration")
    else:
        destination.start()
    bench.finish()


def stalled_peer(design: str = "thread", vcpus: int = 1, pages: int = 16) -> None:
    """The peer stops reading, so that a write blocks for good; the cancel ends it, and the guest runs on here."""
    if not verify.is_controlled():
        pages *= 64  # more than the kernel's sockets hold
    bench = Bench(design, vcpus, pages=pages, writes=1)
    near, far = bench.pair()
    bench.source.start()
    moving = bench.migrate(near)
    far.recv(PAGE_SIZE)
    moving.cancel()
    moving.join()
    _expect(moving, MigrationState.CANCELLED)
    bench.finish()


def impatient(design: str = "thread", vcpus: int = 1, pages: int = 2) -> None:
    """A migration is cancelled and another begun without waiting; refused, it is begun again after the end."""
    bench = Bench(design, vcpus, pages=pages, writes=2)
    near, far = bench.pair()
    bench.source.start()
    bench.receive(far)
    moving = bench.migrate(near)
    moving.cancel()
    first, incoming = moving, bench.incoming
    near, far = bench.pair()
    if _begun(bench, first, near):
        bench.receive(far)
    _ended(bench, bench.source.migration or first)
    first.join()
    if incoming is not None:
        incoming.join()
    bench.finish()


def _begun(bench: Bench, first: Migration, sock: socket.socket) -> bool:
    """Begin another migration as soon as it is possible; False when the guest has gone by the first."""
    while True:
        try:
            bench.migrate(sock)
        except MachineError:
            if first.finished and first.state.value is MigrationState.COMPLETED:
                return False
            time.sleep(0.01)
        else:
            return True


def user_stops(design: str = "thread", vcpus: int = 1, pages: int = 2) -> None:
    """The user stops the guest while it migrates, and the migration is cancelled: stopped is what the guest stays."""
    bench = Bench(design, vcpus, pages=pages, writes=1)
    near, far = bench.pair()
    bench.source.start()
    bench.receive(far)
    moving = bench.migrate(near)
    bench.source.stop()
    moving.cancel()
    _ended(bench, moving)
    gone = moving.state.value is MigrationState.COMPLETED
    machine = bench.destination if gone else bench.source
    if machine is None or bench.source.running:
        verify.broken(
            "stays stopped",
            "a guest that the user stopped runs after a migration that came to nothing",
        )
    elif not machine.running:
        machine.start()
    bench.finish()


def device(
    design: str = "thread", vcpus: int = 1, pages: int = 3, xbzrle: int = 0, writes: int = 2
) -> None:
    """A guest of two blocks, walked page by page, and a device that, while the guest runs, zeroes a page."""
    bench = Bench(design, vcpus, pages=pages, writes=writes, low=2, small=True)
    near, far = bench.pair()
    bench.source.set_capabilities(xbzrle=bool(xbzrle))
    bench.source.start()
    bench.receive(far)
    moving = bench.migrate(near)
    machine = bench.source
    block = machine.ram.find(BLOCK)

    def erase() -> None:
        with machine.big_lock:
            if machine.running:
                machine.log.store(block, (pages - 1) * PAGE_SIZE, bytes(PAGE_SIZE))

    thread = threading.Thread(target=erase, name="device")
    thread.start()
    _ended(bench, moving)
    thread.join()
    _expect(moving, MigrationState.COMPLETED)
    bench.finish()


def deltas(design: str = "thread", writes: int = 3, pages: int = 1, rounds: int = 3) -> None:
    """RAM is walked with XBZRLE, round for round, while the guest and a device store to it; then all is loaded."""
    bench = Bench(design, 1, pages=pages, writes=writes, low=1)
    machine = bench.source
    machine.set_capabilities(xbzrle=True)
    steps = prepared(bench)
    savevm, sent = steps.migration.savevm, list[bytes]()
    block = machine.ram.find(BLOCK)
    machine.start()

    def erase() -> None:
        with machine.big_lock:
            machine.log.store(block, (pages - 1) * PAGE_SIZE, bytes(PAGE_SIZE))
        with machine.big_lock:
            machine.log.store(machine.ram.find(LOW), 0, b"something")

    with machine.big_lock, machine.ram.mutex:
        steps.setup_harvest()
    if steps.ram.deltas is not None:
        steps.ram.deltas.on = True
    sent += savevm.setup()
    thread = threading.Thread(target=erase, name="device")
    thread.start()
    for _ in range(rounds):
        with machine.big_lock:
            while steps.ram.remaining:
                sent += savevm.iterate()
            steps.ram.sync()
    thread.join()
    machine.stop()
    bench.oracle.complete_begin()
    with machine.big_lock:
        sent += [*savevm.complete(), savevm.tail()]
    _load(bench, b"".join(sent))
    bench.end()


def _load(bench: Bench, stream: bytes) -> None:
    """Have the destination load a whole stream; it compares."""
    near, far = bench.pair()
    incoming = bench.receive(far)
    near.sendall(stream)
    near.shutdown(socket.SHUT_WR)
    incoming.join()
    if incoming.error is not None:
        verify.broken("stream loads", f"the destination refuses the stream: {incoming.error}")


def asks_why(design: str = "thread", pages: int = 2) -> None:
    """The peer goes away, and the user asks how it is going until it is over: a failure has a reason at once."""
    bench = Bench(design, 0, pages=pages, writes=0)
    near, far = bench.pair()
    bench.source.start()
    moving = bench.migrate(near)
    far.close()
    while not moving.finished:
        figures = moving.info()
        if figures.status == MigrationState.FAILED.value and figures.error is None:
            verify.broken(
                "a failure has a reason", "the migration has failed, and nothing says why"
            )
        moving.wake.wait(0.001)
    if moving.state.value is MigrationState.FAILED:
        bench.check_one_side()
    bench.end()


def held(design: str = "thread", vcpus: int = 1, pages: int = 2) -> None:
    """The migration is held before the switch-over; a cancel comes at any moment, also while it is held."""
    bench = Bench(design, vcpus, pages=pages, writes=1)
    near, far = bench.pair()
    bench.source.set_capabilities(pause_before_switchover=True)
    bench.source.start()
    bench.receive(far)
    moving = bench.migrate(near)
    moving.cancel()
    _ended(bench, moving)
    _expect(moving, MigrationState.CANCELLED)
    bench.finish()


def _ended(bench: Bench, moving: Migration) -> None:
    moving.join()
    if bench.incoming is not None:
        bench.incoming.join()


def _expect(moving: Migration, wanted: MigrationState) -> None:
    if moving.state.value is not wanted:
        verify.broken(
            "ends as it must",
            f"the migration ended {moving.state.value.value}, not {wanted.value}: {moving.error}",
        )
