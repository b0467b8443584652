"""Closed protocol scenarios: one hand-shake of the engine each, in a few dozen steps, by the engine's own parts.

Small enough to be explored far more densely than a whole migration; the same design steps run in
both.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import verify
from mig.designs.thread import Thread
from mig.migration import Migration
from mig.ram import PAGE_SIZE
from stress.migration.bench import Bench

if TYPE_CHECKING:
    import socket


def stop_handshake(design: str = "thread", vcpus: int = 2, close: int = 0) -> None:
    """The migration stops the guest while the user stops it, too; both get through, and nothing runs meanwhile.

    With `close` 1 a check ends the machine's threads, too, as a run on real threads does: an iothread that never
    comes back from a stop then shows.
    """
    bench = Bench(design, vcpus, pages=max(1, vcpus), writes=1)
    machine = bench.source
    step = _prepared(bench)
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


def harvest_against_write(design: str = "thread", vcpus: int = 1, pages: int = 3) -> None:
    """A guest stores to pages while they are harvested, walked and harvested again."""
    bench = Bench(design, vcpus, pages=pages, writes=2)
    machine = bench.source
    step = _prepared(bench)
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
    step = _prepared(bench, near)
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


def _prepared(bench: Bench, sock: socket.socket | None = None) -> Thread:
    """Return the steps of a migration that is active and whose thread does not run."""
    if sock is None:
        sock, _ = bench.pair()
    machine = bench.source
    machine.mainloop  # noqa: B018 - the steps rely on the iothread
    migration = Migration(machine, sock, bench.design, bench.parameters)
    migration.state.follow("start")
    migration.state.follow("set up")
    verify.label(migration.ram.bitmap.lock, "Bitmap.lock")
    verify.label(migration.channel.lock, "Channel.lock")
    bench.oracle.watch_bitmap(migration.ram.bitmap)
    if not isinstance(migration.design, Thread):
        raise TypeError(f"design {bench.design.name} has no steps of its own thread")
    return migration.design
