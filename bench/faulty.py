"""Migrations that something goes wrong with: who runs the guest afterwards, and what is left behind.

`python -m bench.faulty [--count 500] [--seed 0]`. Each migration, on real threads through a carrier between two TCP
connections, meets one fault at a random moment: a cancel, a destination that is killed, a link that stands still
(against a time-out), or one that is reset; half of them with a return path. After each: the guest runs on one side,
or on none and its source says that the outcome is unknown, which only the hand-over's last round trip allows; without
a return path also where the destination was lost after it had everything, which nothing can notice. Memory is compared
page by page before a destination starts. Exit code 1 if two sides ran, none for no reason, or memory differed; or if a
thread, a descriptor or a mapping is left at the end.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import gc
import pathlib
import random
import socket
import struct
import sys
import threading
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from mig.incoming import Incoming
from mig.machine import Machine
from mig.parameters import Parameters
from mig.ram import PAGE_SIZE
from mig.vcpu.soft import PageIncrement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mig.migration import Migration

FAULTS: Final = ("cancel", "kill", "stall", "reset")
PAGES: Final = 512
STALL_MS: Final = 60
PARAMETERS: Final = Parameters(max_bandwidth=128 << 20, stall_timeout_ms=STALL_MS)
LATEST: Final = 0.025
"""Seconds after which a fault comes at the latest: about what a migration takes."""
PATIENCE: Final = 30.0
_RESET: Final = struct.pack("ii", 1, 0)


class Left(NamedTuple):
    """What a process has; mappings are those of guests' memory."""

    threads: int
    descriptors: int
    mappings: int

    @classmethod
    def now(cls) -> Left:
        """Count."""
        gc.collect()
        ranges = (
            line.split()[0].split("-")
            for line in pathlib.Path("/proc/self/maps").read_text().splitlines()
        )
        maps = sum(int(end, 16) - int(begin, 16) == PAGES * PAGE_SIZE for begin, end in ranges)
        return cls(
            threading.active_count(), len(list(pathlib.Path("/proc/self/fd").iterdir())), maps
        )


def _program(machine: Machine, number: int) -> PageIncrement:
    block = machine.ram.blocks()[0]
    return PageIncrement(machine.log, block, slot=number, rate=4000, stride=2 * number + 1)


def _machine(role: str) -> Machine:
    made = Machine(
        "source" if role == "source" else "destination",
        [("ram", PAGES * PAGE_SIZE)],
        [_program] * 2,
        parameters=PARAMETERS,
    )
    if role == "source":
        made.ram.blocks()[0].array[:] = 7
    return made


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    return near, far


class Carrier:
    """A link of two connections, which may stand still or be reset."""

    def __init__(self) -> None:
        self.near, self._from_source = _tcp_pair()
        self._to_destination, self.far = _tcp_pair()
        self._going = threading.Event()
        self._going.set()
        ways = (
            (self._from_source, self._to_destination),
            (self._to_destination, self._from_source),
        )
        self._threads = [threading.Thread(target=self._carry, args=way) for way in ways]
        for thread in self._threads:
            thread.start()

    def _carry(self, here: socket.socket, there: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := here.recv(1 << 16):
                self._going.wait()
                there.sendall(data)
            there.shutdown(socket.SHUT_WR)

    def stall(self) -> None:
        """Carry nothing more."""
        self._going.clear()

    def reset(self) -> None:
        """Break both connections."""
        for end in (self._from_source, self._to_destination):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End both ways."""
        self.reset()
        self._going.set()
        for thread in self._threads:
            thread.join()
        self._from_source.close()
        self._to_destination.close()


class Ended(NamedTuple):
    """How one migration ended."""

    status: str
    source: bool
    """Whether the guest runs there."""
    destination: bool
    unknown: bool
    equal: bool | None
    """None where the destination did not come to a comparison."""

    @property
    def sides(self) -> str:
        """Who runs the guest."""
        if self.source and self.destination:
            return "both"
        if self.source or self.destination:
            return "source" if self.source else "destination"
        return "unknown" if self.unknown else "none"


def once(fault: str, delay: float, *, return_path: bool) -> Ended:
    """One migration and its fault, `delay` seconds after its begin."""
    source, destination, carrier = _machine("source"), _machine("destination"), Carrier()
    equal: list[bool] = []

    def compare() -> None:
        ours, theirs = (each.ram.blocks()[0].view for each in (source, destination))
        equal.append(ours == theirs)

    with contextlib.closing(carrier), contextlib.closing(source), contextlib.closing(destination):
        incoming = Incoming(destination, carrier.far, before_start=compare)
        source.set_capabilities(return_path=return_path)
        source.start()
        incoming.start()
        migration = source.migrate(carrier.near)
        time.sleep(delay)
        _happen(fault, migration, incoming, carrier)
        if not migration.join(PATIENCE):
            raise RuntimeError(f"{fault} after {delay} s: the migration does not end")
        runs = source.running
        if fault == "stall":
            carrier.reset()
        if not incoming.join(PATIENCE):
            raise RuntimeError(f"{fault} after {delay} s: the destination does not end")
        return Ended(
            migration.info().status,
            runs,
            destination.running,
            migration.outcome_unknown,
            equal[0] if equal else None,
        )


def _happen(fault: str, migration: Migration, incoming: Incoming, carrier: Carrier) -> None:
    deeds: dict[str, Callable[[], None]] = {
        "cancel": migration.cancel,
        "kill": incoming.interrupt,
        "stall": carrier.stall,
        "reset": carrier.reset,
    }
    deeds[fault]()


def wrong(fault: str, ended: Ended, *, return_path: bool) -> bool:
    """Whether it ended in a way that must not be."""
    lost = not return_path and fault != "cancel" and ended.status == "completed"
    differs = ended.destination and not ended.equal
    return ended.sides == "both" or differs or (ended.sides == "none" and not lost)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.faulty")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Run them, and print who runs the guest after each kind of fault."""
    args = _arguments(argv)
    rng = random.Random(args.seed)
    once("cancel", 0.0, return_path=True)
    before, counts, bad = Left.now(), collections.Counter[tuple[str, bool, str]](), 0
    for number in range(args.count):
        fault, return_path = FAULTS[number % len(FAULTS)], number // len(FAULTS) % 2 == 0
        ended = once(fault, rng.uniform(0, LATEST), return_path=return_path)
        counts[fault, return_path, ended.sides] += 1
        if wrong(fault, ended, return_path=return_path):
            bad += 1
            print(f"{fault}, return path {return_path}: {ended}", file=sys.stderr)
    left = Left.now()
    print(_table(counts))
    print(f"{args.count} migrations, {bad} ended as they must not")
    print(f"left behind: {', '.join(map(_more, Left._fields, before, left))}")
    return int(bad > 0 or any(now > was for was, now in zip(before, left, strict=True)))


def _more(name: str, was: int, now: int) -> str:
    return f"{now - was:+} {name}"


def _table(counts: collections.Counter[tuple[str, bool, str]]) -> str:
    sides = ("source", "destination", "unknown", "none", "both")
    lines = [f"{'fault':8}{'answers':>8}" + "".join(f"{side:>13}" for side in sides)]
    for fault in FAULTS:
        for answers in (True, False):
            row = "".join(f"{counts[fault, answers, side]:>13}" for side in sides)
            lines.append(f"{fault:8}{'yes' if answers else 'no':>8}{row}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
