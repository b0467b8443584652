"""Closed protocol scenarios: one hand-shake of the engine each, in a few dozen steps, by the engine's own parts.

Small enough to be explored far more densely than a whole migration; the same design steps run in
both.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import verify
from mig.channel import Channel
from mig.designs.thread import Thread
from mig.migration import Migration
from mig.parameters import UNLIMITED
from mig.ram import PAGE_SIZE, RamError
from mig.ram_save import RamChanged
from mig.runstate import MigrationState, StateError
from stress.migration.bench import Bench

if TYPE_CHECKING:
    import socket

    from mig.ram_save import RamSave

DIMM: Final = "dimm"


def stop_handshake(design: str = "thread", vcpus: int = 2, close: int = 0) -> None:
    """The migration stops the guest while the user stops it, too; both get through, and nothing runs meanwhile.

    With `close` 1 a check ends the machine's threads, too, as a run on real threads does: an iothread that never
    comes back from a stop then shows.
    """
    bench = Bench(design, vcpus, pages=max(1, vcpus), writes=1)
    machine = bench.source
    step = prepared(bench)
    machine.start()

    def stop() -> None:
        with machine.big_lock:
            if step.stop_vm():
                bench.oracle.complete_begin()
                if not machine.cpus.all_stopped():
                    running = [cpu.number for cpu in machine.cpus.all if not cpu.stopped]
                    verify.broken(
                        "guest stands still",
                        f"vCPUs {running} run although the stop has been acknowledged",
                    )
            bench.oracle.complete_over()
            machine.cpus.undo_stop()

    stopper = threading.Thread(target=stop, name="migration")
    stopper.start()
    machine.stop()
    stopper.join()
    if not machine.running:
        machine.start()
    bench.await_guest()
    bench.end(also_controlled=bool(close))


def harvest_against_write(
    design: str = "thread", vcpus: int = 1, pages: int = 3, writes: int = 2
) -> None:
    """A guest stores to pages while they are harvested, walked and harvested again."""
    bench = Bench(design, vcpus, pages=pages, writes=writes)
    machine = bench.source
    step = prepared(bench)
    ram = step.ram
    machine.start()
    with machine.big_lock, machine.ram.mutex:
        step.setup_harvest()
    for _ in range(2):
        with machine.big_lock:
            ram.iterate()
            ram.sync()
    machine.stop()
    with machine.big_lock:
        bench.oracle.complete_begin()
        ram.complete()
        bench.oracle.complete_end()
    bench.oracle.finish()
    bench.end()


def channel_close(design: str = "thread", queued: int = 5, limit_pages: int = 1 << 20) -> None:
    """The last round is written while the peer, between two reads, asks for something that takes the big lock."""
    bench = Bench(design, 0, pages=1, drain_limit=limit_pages * PAGE_SIZE, born_dirty=False)
    machine = bench.source
    near, far = bench.pair()
    step = prepared(bench, near)
    machine.start()
    step.channel.append([bytes(PAGE_SIZE)])
    step.flush()

    def read() -> None:
        far.recv(PAGE_SIZE)
        with machine.big_lock:
            pass
        while far.recv(8 * PAGE_SIZE):
            pass

    def close() -> None:
        step.channel.append([bytes(queued * PAGE_SIZE)])
        while step.active():
            step.produce()

    reader = threading.Thread(target=read, name="peer")
    closer = threading.Thread(target=close, name="migration")
    reader.start()
    closer.start()
    closer.join()
    reader.join()
    bench.end()


def cancel_against_complete(design: str = "thread") -> None:
    """A cancel meets the hand-over; either the peer has it all and the source is done, or the guest is back."""
    bench = Bench(design, 0, pages=1, born_dirty=False)
    machine = bench.source
    near, far = bench.pair()
    step = _active(bench, near)
    moving = step.migration
    received = bytearray()

    def read() -> None:
        while piece := far.recv(16 * PAGE_SIZE):
            received.extend(piece)

    def hand_over() -> None:
        try:
            step.finish(big_lock_held=False)
        except StateError as error:
            moving.fail(error)
        step.end()

    migrates = threading.Thread(target=hand_over, name="migration")
    moving.thread = migrates
    machine.start()
    with machine.big_lock:
        step.stop_vm()
        step.switch_over()
        step.complete()
    machine.mainloop  # noqa: B018 - cleans up
    step.start_helpers()

    peer = threading.Thread(target=read, name="peer")
    monitor = threading.Thread(target=moving.cancel, name="monitor")
    for thread in (peer, migrates, monitor):
        thread.start()
    moving.join()
    monitor.join()
    peer.join()
    _one_outcome(bench, moving, whole=received.endswith(moving.savevm.tail()))
    bench.end()


def _one_outcome(bench: Bench, moving: Migration, *, whole: bool) -> None:
    """Completed, handed over and gone from here; or cancelled, not handed over and running here."""
    state = moving.state.value
    outcome = state, whole, bench.source.running
    if outcome not in {
        (MigrationState.COMPLETED, True, False),
        (MigrationState.CANCELLED, False, True),
    }:
        verify.broken(
            "one outcome",
            f"the migration is {state.value}, the destination has {'all' if whole else 'not all'} of the stream, and "
            f"the source {'runs' if bench.source.running else 'does not run'}",
        )


def hot_add_against_walk(design: str = "thread", pages: int = 1, changes: int = 1) -> None:
    """While RAM is walked under the ramlist mutex alone, a block is unplugged, and (`changes` 2) another one plugged.

    A walk that meets a changed list is begun anew; in the end every page of the blocks that are there has been sent,
    and a look-up finds no block that is gone.
    """
    bench = Bench(design, 0, pages=pages, born_dirty=False)
    machine = bench.source
    near, _ = bench.pair()
    channel = Channel(near, machine.trace, UNLIMITED)
    gone = machine.plug(DIMM, PAGE_SIZE)
    machine.ram.block_at(gone.offset)

    def hotplug() -> None:
        machine.unplug(DIMM)
        if changes > 1:
            machine.plug("another", 2 * PAGE_SIZE)

    def walk() -> None:
        while True:
            ram = _begin(bench, channel)
            try:
                while pieces := ram.iterate():
                    channel.append(pieces)
            except RamChanged:
                continue
            return

    walker = threading.Thread(target=walk, name="migration")
    user = threading.Thread(target=hotplug, name="monitor")
    walker.start()
    user.start()
    walker.join()
    user.join()
    _all_sent(bench)
    try:
        found = machine.ram.block_at(gone.offset)
    except RamError:
        found = None
    if found is gone:
        verify.broken("no stale block", f"a look-up finds {gone.name}, which is unplugged")
    bench.end()


def _begin(bench: Bench, channel: Channel) -> RamSave:
    """Begin to save RAM: all pages dirty, logging on."""
    machine = bench.source
    with machine.big_lock, machine.ram.mutex:
        ram = bench.design.ram_save_class(machine.ram, machine.log, channel, bench.parameters)
        ram.fill()
        machine.log.start()
        ram.setup_harvest()
    return ram


def _all_sent(bench: Bench) -> None:
    """Every page of a block that was there throughout has been sent."""
    kept = bench.source.ram.find("ram")
    missing = [
        page
        for page in range(kept.first_page, kept.first_page + kept.pages)
        if page not in bench.oracle.pages.sent
    ]
    if missing:
        verify.broken(
            "every page sent", f"pages {missing[:8]} of block {kept.name} were never sent"
        )


def prepared(bench: Bench, sock: socket.socket | None = None) -> Thread:
    """Return the steps of an active migration that has no thread of its own, beside an iothread that runs."""
    steps = _active(bench, sock)
    bench.source.mainloop  # noqa: B018 - the steps rely on the iothread
    return steps


def _active(bench: Bench, sock: socket.socket | None = None) -> Thread:
    """Return the steps of a migration that is active and whose thread does not run."""
    if sock is None:
        sock, _ = bench.pair()
    migration = Migration(bench.source, sock, bench.design)
    migration.state.follow("start")
    migration.state.follow("set up")
    verify.label(migration.ram.bitmap.lock, "Bitmap.lock")
    verify.label(migration.channel.lock, "Channel.lock")
    bench.oracle.watch_bitmap(migration.ram.bitmap)
    if not isinstance(migration.design, Thread):
        raise TypeError(f"design {bench.design.name} has no steps of its own thread")
    return migration.design
