"""Migrations out of the ordinary: a second attempt, a guest never started, a peer that stops reading, a device.

Every function is one scenario, in the manner of `whole`. Promises: a migration is refused where the guest has gone, and
possible where it is; a cancel ends what nothing else would; a guest that did not run does not run elsewhere by itself.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import verify
from mig.machine import MachineError
from mig.ram import PAGE_SIZE
from mig.runstate import MigrationState
from stress.migration.bench import BLOCK, Bench

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
    near, far = bench.pair()
    if moving.state.value is MigrationState.CANCELLED:
        bench.receive(far)
        moving = bench.migrate(near)
        _ended(bench, moving)
        _expect(moving, MigrationState.COMPLETED)
    else:
        _refused(bench, moving)
    bench.finish()


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
    bench = Bench(design, vcpus, pages=pages, writes=1)
    near, far = bench.pair()
    bench.source.start()
    moving = bench.migrate(near)
    far.recv(PAGE_SIZE)
    moving.cancel()
    moving.join()
    _expect(moving, MigrationState.CANCELLED)
    bench.finish()


def device(design: str = "thread", vcpus: int = 1, pages: int = 3, xbzrle: int = 0) -> None:
    """A guest of two blocks, walked page by page, and a device that, while the guest runs, zeroes a page."""
    bench = Bench(design, vcpus, pages=pages, writes=2, low=2, small=True)
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
