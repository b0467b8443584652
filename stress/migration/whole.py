"""Whole migrations in one process, each with its end checks.

Every function is one scenario: it makes its machines, migrates, waits for the end and checks it. A
hang is a wait that never ends.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import verify
from mig.ram import PAGE_SIZE
from mig.runstate import MigrationState
from stress.migration.bench import Bench

if TYPE_CHECKING:
    from mig.migration import Migration

CHUNK = 8192


def migration(design: str = "thread", vcpus: int = 2, pages: int = 16, writes: int = 2) -> None:
    """Move a guest that writes; it runs on at the destination."""
    bench = Bench(design, vcpus, pages=pages, writes=writes)
    near, far = bench.pair()
    bench.source.start()
    bench.receive(far)
    moving = bench.migrate(near)
    _await_end(bench, moving)
    _expect(moving.state.value, MigrationState.COMPLETED)
    bench.finish()


def busy_migration(
    design: str = "thread", vcpus: int = 2, pages: int = 16, limit_pages: int = 4
) -> None:
    """Move a guest of which more is left at the stop than the budget of the last flush; a monitor asks meanwhile."""
    bench = Bench(
        design,
        vcpus,
        pages=pages,
        writes=8,
        drain_limit=limit_pages * PAGE_SIZE,
        downtime_limit_ms=2000,
    )
    near, far = bench.pair()
    bench.source.start()
    bench.receive(far)
    moving = bench.migrate(near)

    def ask() -> None:
        for _ in range(2):
            with bench.source.big_lock:
                moving.info()

    monitor = threading.Thread(target=ask, name="monitor")
    monitor.start()
    _await_end(bench, moving)
    monitor.join()
    bench.finish()


def destination_dies(design: str = "thread", vcpus: int = 1, pages: int = 8) -> None:
    """The destination goes away after a few pieces; unless all was handed over, the guest runs on at the source."""
    bench = Bench(design, vcpus, pages=pages)
    near, far = bench.pair()
    bench.source.start()

    def die() -> None:
        for _ in range(1 + verify.draw(6)):
            far.recv(CHUNK)
        far.close()

    peer = threading.Thread(target=die, name="dying destination")
    peer.start()
    moving = bench.migrate(near)
    moving.join()
    peer.join()
    if moving.state.value is MigrationState.FAILED:
        bench.finish()
    else:
        _expect(moving.state.value, MigrationState.COMPLETED)
        bench.end()


def cancelled(design: str = "thread", vcpus: int = 1, pages: int = 8) -> None:
    """A cancel meets the migration at any moment; whichever wins, one side runs the guest."""
    bench = Bench(design, vcpus, pages=pages)
    near, far = bench.pair()
    bench.source.start()
    bench.receive(far)
    moving = bench.migrate(near)
    moving.cancel()
    _await_end(bench, moving)
    bench.finish()


def tunnelled(design: str = "thread", vcpus: int = 1, pages: int = 8) -> None:
    """A manager carries the stream and asks the source between two pieces how the migration is doing."""
    bench = Bench(design, vcpus, pages=pages)
    near, manager_in = bench.pair()
    manager_out, far = bench.pair()
    bench.source.start()
    bench.receive(far)

    def carry() -> None:
        while piece := manager_in.recv(CHUNK):
            manager_out.sendall(piece)
            with bench.source.big_lock:
                status = moving.info().status
            if status == "failed":
                break
        manager_out.close()

    moving = bench.migrate(near)
    manager = threading.Thread(target=carry, name="manager")
    manager.start()
    _await_end(bench, moving)
    manager.join()
    bench.finish()


def reset_meanwhile(design: str = "thread", vcpus: int = 2, pages: int = 4) -> None:
    """The guest is reset while it migrates: its vCPUs are paused for a moment by the iothread."""
    bench = Bench(design, vcpus, pages=pages, writes=1)
    near, far = bench.pair()
    bench.source.start()
    bench.receive(far)
    bench.source.post_reset()
    moving = bench.migrate(near)
    _await_end(bench, moving)
    bench.finish()


def _await_end(bench: Bench, moving: Migration) -> None:
    moving.join()
    if bench.incoming is not None:
        bench.incoming.join()


def _expect(state: MigrationState, wanted: MigrationState) -> None:
    if state is not wanted:
        verify.broken("ends as it must", f"the migration ended {state.value}, not {wanted.value}")
