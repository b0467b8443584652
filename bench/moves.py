"""One migration, measured from inside: the library of the benchmarks of convergence.

The source is a machine in this process, the destination a process of its own (`bench.arrival`), between them a Unix
socket. Measured is the design itself, by a subclass that looks at the clocks around its steps:

- `holds`: each hold of the big lock to produce, the last one left out: wall time and CPU time of its thread;
- `windows`: bytes written in each window for each byte of its budget;
- `stop_cpu`: CPU time of the migration thread from the request to stop the guest to the end.

Memory at both ends is compared by SHA-256.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Final, NamedTuple

from bench.arrival import BLOCK
from mig import designs, transport
from mig.designs.base import Steps
from mig.machine import Machine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mig.info import Info
    from mig.migration import AtStop
    from mig.parameters import Parameters
    from stress.migration.workloads import Load

ARRIVE: Final = 60.0
"""Seconds after which a destination that does not say how it ended is an error."""


class Hold(NamedTuple):
    """One hold of the big lock: seconds on the wall and on the CPU of the thread that held it."""

    wall: float
    cpu: float


@dataclasses.dataclass(slots=True)
class Meter:
    """What is measured of one migration."""

    holds: list[Hold] = dataclasses.field(default_factory=list)
    windows: list[float] = dataclasses.field(default_factory=list)
    stop_cpu: float = 0.0


class Moved(NamedTuple):
    """How a migration ended. `equal`: it completed, and both sides have the same memory."""

    info: Info
    at_stop: AtStop | None
    bandwidth: float
    meter: Meter
    equal: bool


def measured(design: type[Steps], meter: Meter) -> type[Steps]:
    """The same design, looked at by `meter`."""

    class Measured(design):  # type: ignore[misc, valid-type] # the design is chosen by its name
        def produce_locked(self) -> bool:
            wall, cpu = time.perf_counter(), time.thread_time()
            done: bool = super().produce_locked()
            if not done:
                hold = Hold(time.perf_counter() - wall, time.thread_time() - cpu)
                meter.holds.append(hold)
            return done

        def stop_vm(self) -> bool:
            meter.stop_cpu = -time.thread_time()
            stopped: bool = super().stop_vm()
            return stopped

        def new_window(self) -> None:
            meter.windows.append(self.channel.bytes_xfer / self.channel.limit)
            super().new_window()

        def end_locked(self) -> None:
            if meter.stop_cpu:
                meter.stop_cpu += time.thread_time()
            super().end_locked()

    return Measured


class Destination:
    """The other process; it serves any number of migrations of one load."""

    def __init__(self, load: Load, directory: str) -> None:
        self.load = load
        self.uri = f"unix:{directory}/migration"
        words = [sys.executable, "-m", "bench.arrival", f"{directory}/migration", load.as_text()]
        self.process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    def connect(self) -> transport.Stream:
        """A connection, once it listens."""
        until = time.monotonic() + ARRIVE
        while True:
            try:
                return transport.connect(self.uri)
            except transport.TransportError:
                if time.monotonic() > until or self.process.poll() is not None:
                    raise
                time.sleep(0.02)

    def ended(self) -> tuple[str, str]:
        """How the last one ended: state and digest."""
        assert self.process.stdout is not None
        state, _, digest = self.process.stdout.readline().strip().partition(" ")
        return state, digest


@contextlib.contextmanager
def destination(load: Load) -> Iterator[Destination]:
    """A destination for the length of a `with` block."""
    with tempfile.TemporaryDirectory(prefix="stage3-bench-") as directory:
        made = Destination(load, directory)
        try:
            yield made
        finally:
            made.process.kill()
            made.process.communicate()
            pathlib.Path(directory, "migration").unlink(missing_ok=True)


def move(
    there: Destination,
    design: str,
    parameters: Parameters,
    *,
    xbzrle: bool = False,
    auto_converge: bool = False,
    time_limit: float = 60.0,
) -> Moved:
    """Move a guest with this load; one that does not converge in `time_limit` seconds is cancelled."""
    made, meter = designs.by_name(design), Meter()
    assert issubclass(made, Steps), design
    load = there.load
    machine = Machine(
        "source", [(BLOCK, load.ram)], load.programs(), measured(made, meter), parameters
    )
    machine.set_capabilities(xbzrle=xbzrle, auto_converge=auto_converge)
    load.fill(machine.ram.blocks()[0])
    sock = there.connect()
    machine.start()
    migration = machine.migrate(sock)
    if not migration.join(time_limit):
        migration.cancel()
        migration.join()
    info = migration.info()
    state, digest = there.ended()
    ours = hashlib.sha256(machine.ram.blocks()[0].view).hexdigest()
    equal = info.status == "completed" and (state, digest) == ("completed", ours)
    machine.close()
    return Moved(info, migration.at_stop, migration.bandwidth, meter, equal)


def quantile(values: list[float], share: float) -> float:
    """The value below which `share` of `values` lie; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
