"""Whole migrations in one process, each with its end checks.

Every function is one scenario: it makes its machines, migrates, waits for the end and checks it. A
hang is a wait that never ends.
"""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING

import verify
from mig.monitor.commands import Control
from mig.ram import PAGE_SIZE
from mig.runstate import MigrationState
from stress.migration.bench import Bench

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mig.migration import Migration
    from mig.monitor.messages import Json

CHUNK = 8192
ENDS = frozenset({"completed", "failed", "cancelled"})
MOVES = frozenset(
    {
        ("setup", "active"),
        ("active", "completed"),
        ("active", "pre-switchover"),
        ("pre-switchover", "device"),
        ("device", "completed"),
        ("cancelling", "cancelled"),
        *((state, "cancelling") for state in ("setup", "active", "pre-switchover", "device")),
    }
)
"""Statuses that follow each other in a migration of which nothing fails."""
LOOK_S = 0.05
"""Between two looks of a monitor that waits for a state."""


def migration(  # noqa: PLR0917 - what may be typed behind the scenario's name
    design: str = "thread",
    vcpus: int = 2,
    pages: int = 16,
    writes: int = 2,
    return_path: int = 0,
    pause: int = 0,
    again: int = 0,
) -> None:
    """Move a guest that writes; it runs on at the destination.

    With `return_path` 1 the destination answers; with `pause` 1 it is held before the switch-over until a
    monitor continues it; with `again` 1 a first attempt is cancelled at any moment, and another one follows.
    """
    bench = Bench(design, vcpus, pages=pages, writes=writes)
    bench.source.set_capabilities(
        return_path=bool(return_path), pause_before_switchover=bool(pause), events=bool(pause)
    )
    bench.source.start()
    if again and _first_attempt(bench) is MigrationState.COMPLETED:
        bench.finish()
        return
    near, far = bench.pair()
    bench.receive(far)
    monitor = _continuing(bench) if pause else None
    moving = bench.migrate(near)
    _await_end(bench, moving)
    if monitor is not None:
        monitor.join()
    _expect(moving.state.value, MigrationState.COMPLETED)
    bench.finish()


def _first_attempt(bench: Bench) -> MigrationState:
    near, far = bench.pair()
    bench.receive(far)
    moving = bench.migrate(near)
    moving.cancel()
    _await_end(bench, moving)
    return moving.state.value


def _continuing(bench: Bench) -> threading.Thread:
    """Have a monitor continue the migration once it is held."""
    held = threading.Event()

    def hear(_: str, data: Mapping[str, str | int]) -> None:
        if data.get("status") == MigrationState.PRE_SWITCHOVER.value:
            held.set()

    def go_on() -> None:
        held.wait()
        bench.source.continue_migration(MigrationState.PRE_SWITCHOVER.value)

    bench.source.events.subscribe(hear)
    monitor = threading.Thread(target=go_on, name="monitor")
    monitor.start()
    return monitor


def link_cut(design: str = "thread", vcpus: int = 1, pages: int = 4, late: int = 0) -> None:
    """The link of a migration with a return path breaks at any moment; with `late` 1, once it is committed.

    The guest runs on one side; or, when the link broke in the hand-over, perhaps on none, but never on both.
    """
    bench = Bench(design, vcpus, pages=pages, writes=1)
    bench.source.set_capabilities(return_path=True)
    near, far = bench.pair()
    bench.source.start()
    receiving = bench.receive(far)
    committed = threading.Event()
    bench.oracle.committed = committed if late else None
    moving = bench.migrate(near)
    if late:
        committed.wait()
    receiving.interrupt()
    _await_end(bench, moving)
    bench.finish()


def held(design: str = "thread", vcpus: int = 1, pages: int = 4, return_path: int = 0) -> None:
    """A migration that is to be held before the switch-over is cancelled at any moment, and continued, too."""
    bench = Bench(design, vcpus, pages=pages, writes=1)
    bench.source.set_capabilities(return_path=bool(return_path), pause_before_switchover=True)
    near, far = bench.pair()
    bench.source.start()
    bench.receive(far)
    moving = bench.migrate(near)

    def go_on() -> None:
        while not moving.finished and not moving.continue_from("pre-switchover"):
            time.sleep(LOOK_S)

    monitor = threading.Thread(target=go_on, name="monitor")
    monitor.start()
    moving.cancel()
    _await_end(bench, moving)
    monitor.join()
    bench.finish()


def stalled(design: str = "thread", vcpus: int = 1, pages: int = 8) -> None:
    """The destination stops reading; the time-out may come at any moment, and the guest runs on at the source."""
    bench = Bench(design, vcpus, pages=pages, writes=1, stall_timeout_ms=1000)
    near, far = bench.pair()
    bench.source.start()

    def read() -> None:
        for _ in range(verify.draw(3)):
            far.recv(CHUNK)

    peer = threading.Thread(target=read, name="stalled destination")
    peer.start()
    moving = bench.migrate(near)
    moving.join()
    peer.join()
    _expect(moving.state.value, MigrationState.FAILED)
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


def cancelled(design: str = "thread", vcpus: int = 1, pages: int = 8, return_path: int = 0) -> None:
    """A cancel meets the migration at any moment; whichever wins, one side runs the guest."""
    bench = Bench(design, vcpus, pages=pages)
    bench.source.set_capabilities(return_path=bool(return_path))
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


def commanded(design: str = "thread", vcpus: int = 1, pages: int = 4, pause: int = 0) -> None:
    """A user begins a migration, and cancels it or not while it connects or later; events tell it all, in order.

    With `pause` the guest is held before the switch-over, and goes on when the user says so.
    """
    bench = Bench(design, vcpus, pages=pages)
    near, far = bench.pair()
    told: list[str] = []
    over, held = threading.Event(), threading.Event()

    def hear(name: str, data: Mapping[str, object]) -> None:
        if name == "MIGRATION":
            told.append(str(data["status"]))
            if told[-1] in ENDS:
                over.set()
            if told[-1] in {*ENDS, "pre-switchover"}:
                held.set()

    control = Control(bench.source, "check")
    control.outgoing.open = lambda _uri, _seconds: near
    control.subscribe(hear)
    bench.source.start()
    incoming = bench.receive(far)
    do = control.commands.execute
    names = ["events", "pause-before-switchover"][: 1 + pause]
    wanted: list[Json] = [{"capability": name, "state": True} for name in names]
    do("migrate-set-capabilities", {"capabilities": wanted})
    do("migrate", {"uri": "unix:peer"})
    go_on = bool(pause and verify.draw(3))
    if go_on:
        held.wait()
        do("migrate-continue", {"state": "pre-switchover"})
    if (pause and not go_on) or verify.draw(4):
        do("migrate_cancel", {})
    over.wait()
    control.outgoing.close()
    if bench.source.migration is not None:
        bench.source.migration.join()
    incoming.join()
    _check_told(told, control.query_migrate()["status"])
    bench.finish()


def _check_told(told: list[str], status: Json) -> None:
    """Every state was told, once and in an order that the tables have, up to the one that is."""
    steps = pairwise(told)
    if told[0] != "setup" or told[-1] != status or not MOVES.issuperset(steps):
        verify.broken("events in order", f"told {', '.join(told)}; the status is {status}")


def _await_end(bench: Bench, moving: Migration) -> None:
    moving.join()
    if bench.incoming is not None:
        bench.incoming.join()


def _expect(state: MigrationState, wanted: MigrationState) -> None:
    if state is not wanted:
        verify.broken("ends as it must", f"the migration ended {state.value}, not {wanted.value}")
