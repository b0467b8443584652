"""One migration between the engine and QEMU, in either direction, and its comparison.

Promises: `run` ends with both sides ended; an outcome says how many pages were compared and which differ.
A cell that was to show deltas or several rounds and showed none is an error: it would prove nothing.
Assumes: QEMU is there.

QEMU 7.2 loses dirty pages under TCG when a RAM block is a multiple of 64 pages, so its guests here have an
odd size; `none`, which never runs, is of 16 MiB.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import pathlib
import shlex
import tempfile
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import numpy as np

from bench.qemu import guest
from bench.qemu.process import Qemu, QemuError
from mig import transport
from mig.incoming import Incoming, State
from mig.machine import VCPU, Machine
from mig.parameters import Parameters
from mig.vcpu.soft import PageIncrement
from mig.wire_decode import Decoder
from mig.wire_events import Configuration, RamSetup

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mig.machine import MakeProgram
    from mig.migration import Migration
    from mig.transport import Stream

PAGE: Final = 4096
SIZE: Final = 16 << 20
"""Bytes of memory that the engine sends."""
ODD_SIZE: Final = 16392 << 10
"""Bytes of memory of QEMU's guest: 4098 pages."""
CONTENTS: Final = ("zero", "random", "dirtied")
CODINGS: Final = ("plain", "xbzrle")
WAYS: Final = ("ours to QEMU", "QEMU to ours")
TRANSPORTS: Final = ("unix", "tcp", "exec")
WORDS: Final = (*CONTENTS, *CODINGS, *WAYS, *TRANSPORTS)
PATIENCE: Final = 30.0
POLL: Final = 0.005
ROUNDS: Final = 4
"""Syncs of QEMU's dirtied guest before it may converge."""
SLOW: Final = {"max-bandwidth": 3_000_000, "downtime-limit": 1}
"""Less than a page may be left: such a guest never converges (the trick of QEMU's own test)."""
FAST: Final = {"max-bandwidth": 1 << 33, "downtime-limit": 2000}


class Cell(NamedTuple):
    """What is migrated, how, which way, and through what."""

    content: str
    coding: str
    way: str
    transport: str


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How a cell came out; sizes in bytes, times in seconds."""

    cell: Cell
    pages: int
    """Compared."""
    differing: int
    syncs: int
    deltas: int
    """Pages that came as deltas; of ours to QEMU those sent."""
    transferred: int
    seconds: float

    @property
    def identical(self) -> bool:
        """Whether memory is the same."""
        return self.pages > 0 and not self.differing


def cells() -> list[Cell]:
    """All of them."""
    everything = itertools.product(WAYS, CODINGS, CONTENTS, TRANSPORTS)
    return [Cell(content, coding, way, carrier) for way, coding, content, carrier in everything]


def differing(left: bytes | bytearray | memoryview, right: bytes | bytearray | memoryview) -> int:
    """Pages that differ; all of them when the sizes do."""
    if len(left) != len(right):
        return max(len(left), len(right)) // PAGE
    a, b = (np.frombuffer(each, np.uint8).reshape(-1, PAGE) for each in (left, right))
    return int((a != b).any(axis=1).sum())


def filling(content: str, size: int) -> bytes:
    """The memory a guest begins with: zeros, random, or zeros with every eighth page random."""
    if content == "zero":
        return bytes(size)
    memory = np.random.default_rng(2012).integers(0, 256, size, dtype=np.uint8)
    if content == "dirtied":
        pages = memory.reshape(-1, PAGE)
        pages[np.arange(len(pages)) % 8 > 0] = 0
    return memory.tobytes()


def _addresses(carrier: str, directory: pathlib.Path) -> tuple[str, str]:
    """URIs of who connects and of who listens; the port of tcp is chosen by who listens."""
    if carrier == "unix":
        return f"unix:{directory}/s", f"unix:{directory}/s"
    if carrier == "tcp":
        return "", "tcp:127.0.0.1:0"
    pipe = directory / "pipe"
    os.mkfifo(pipe)
    name = shlex.quote(str(pipe))
    return f"exec:cat > {name}", f"exec:cat {name}"


# --- ours to QEMU ----------------------------------------------------------------------------------


def _program(number: int, machine: Machine, _: int) -> PageIncrement:
    # Few stores into pages that are sent again and again: deltas that pay.
    block = machine.ram.blocks()[0]
    return PageIncrement(
        machine.log, block, pages=guest.PAGES, slot=number, rate=1000, stride=2 * number + 1
    )


def ours(content: str, parameters: Parameters) -> Machine:
    """The engine's machine as QEMU's `none`: its vCPUs write, but send no registers."""
    count = 2 if content == "dirtied" else 0
    programs: list[MakeProgram] = [partial(_program, number) for number in range(count)]
    machine = Machine("source", [("ram", SIZE)], programs, parameters=parameters, name="none")
    devices = machine.registry.devices
    for key in [key for key in devices if key[0] == VCPU]:
        del devices[key]
    machine.ram.find("ram").view[:] = filling(content, SIZE)
    return machine


def _listening_at(qemu: Qemu) -> str:
    addresses = cast("list[dict[str, str]]", qemu.migration()["socket-address"])
    return f"tcp:{addresses[0]['host']}:{addresses[0]['port']}"


def _until_dirtied(machine: Machine, migration: Migration, coding: str) -> None:
    """Let rounds go by until there is something to prove, then allow the end."""
    until = time.monotonic() + PATIENCE
    while not migration.join(POLL) and time.monotonic() < until:
        stats = migration.ram.xbzrle_stats
        enough = coding == "plain" or (stats is not None and stats.pages >= guest.PAGES)
        if enough and len(migration.ram.syncs) >= ROUNDS:
            break
    machine.set_parameters(max_bandwidth=1 << 33, downtime_limit_ms=2000)


def _sent(machine: Machine, uri: str, cell: Cell) -> Migration:
    """The machine's migration to `uri`, at its end."""
    migration = machine.migrate(transport.connect(uri))
    if cell.content == "dirtied":
        _until_dirtied(machine, migration, cell.coding)
    if not migration.join(PATIENCE) or migration.error is not None:
        raise QemuError(f"the migration to QEMU ended with {migration.error}")
    return migration


def to_qemu(cell: Cell, directory: pathlib.Path) -> Outcome:
    """Migrate ours into QEMU's machine `none` and read its memory back."""
    near, far = _addresses(cell.transport, directory)
    parameters = Parameters(max_bandwidth=1 << 33)
    if cell.content == "dirtied":
        parameters = Parameters(max_bandwidth=SLOW["max-bandwidth"], downtime_limit_ms=1)
    arguments = ["-machine", "none", "-m", str(SIZE >> 20), "-S", "-incoming", "defer"]
    with (
        Qemu(arguments, directory) as qemu,
        contextlib.closing(ours(cell.content, parameters)) as machine,
    ):
        qemu.execute("migrate-incoming", uri=far)
        machine.set_capabilities(xbzrle=cell.coding == "xbzrle")
        machine.start()
        begin = time.monotonic()
        migration = _sent(machine, near or _listening_at(qemu), cell)
        qemu.wait_migrated()
        seconds = time.monotonic() - begin
        stats = migration.ram.xbzrle_stats
        return Outcome(
            cell,
            SIZE // PAGE,
            differing(machine.ram.find("ram").view, qemu.memory(SIZE, directory)),
            len(migration.ram.syncs) + migration.ram.setup_syncs,
            0 if stats is None else stats.pages,
            migration.channel.written,
            seconds,
        )


# --- QEMU to ours ----------------------------------------------------------------------------------


class Replayed:
    """A stream of which a beginning was read already."""

    def __init__(self, stream: Stream, head: Iterable[bytes]) -> None:
        self._stream = stream
        self._head = list(head)

    def fileno(self) -> int:
        """Of the stream."""
        return self._stream.fileno()

    def recv(self, size: int, /) -> bytes:
        """First what was read, each piece whole."""
        return self._head.pop(0) if self._head else self._stream.recv(size)

    def sendmsg(self, buffers: Iterable[bytes | memoryview], /) -> int:
        """On the stream."""
        return self._stream.sendmsg(buffers)

    def sendall(self, data: bytes, /) -> None:
        """On the stream."""
        self._stream.sendall(data)

    def shutdown(self, how: int, /) -> None:
        """Of the stream."""
        self._stream.shutdown(how)

    def close(self) -> None:
        """Of the stream."""
        self._stream.close()


def adopt(stream: Stream) -> tuple[Machine, Replayed]:
    """A destination with the name and the RAM blocks that the stream announces, and the stream anew."""
    decoder = Decoder()
    head: list[bytes] = []
    name = ""
    while piece := stream.recv(1 << 16):
        head.append(piece)
        decoder.feed(piece)
        for event in decoder:
            if isinstance(event, Configuration):
                name = event.machine
            if isinstance(event, RamSetup):
                machine = Machine("destination", event.blocks, name=name)
                return machine, Replayed(stream, head)
    raise QemuError(f"{sum(map(len, head))} bytes came, and no list of RAM blocks")


def _guest_arguments(cell: Cell, directory: pathlib.Path) -> list[str]:
    firmware, memory = directory / "firmware", directory / "guest"
    firmware.write_bytes(guest.FIRMWARE)
    memory.write_bytes(filling(cell.content, ODD_SIZE))
    kibibytes = f"{ODD_SIZE >> 10}K"
    backend = f"memory-backend-file,id=pc.ram,size={kibibytes},mem-path={memory},share=on"
    machine = ["-machine", "pc,memory-backend=pc.ram", "-m", kibibytes, "-object", backend]
    return [*machine, "-bios", str(firmware), *([] if cell.content == "dirtied" else ["-S"])]


def _figure(qemu: Qemu, part: str, name: str) -> int:
    """A number of `query-migrate`, 0 while it has none."""
    found = qemu.migration()
    return cast("dict[str, int]", found.get(part, {})).get(name, 0)


def _synced(qemu: Qemu) -> int:
    return _figure(qemu, "ram", "dirty-sync-count")


def _dirtied(qemu: Qemu, coding: str) -> bool:
    """Whether enough rounds, and enough deltas, were sent to prove something; or it ended all the same."""
    if qemu.migration().get("status") == "completed":
        return True
    enough = coding == "plain" or _figure(qemu, "xbzrle-cache", "pages") >= guest.PAGES
    return enough and _synced(qemu) >= ROUNDS


def from_qemu(cell: Cell, directory: pathlib.Path) -> Outcome:
    """Migrate QEMU's guest into a machine of ours; its memory is a file, read when it has stopped."""
    near, far = _addresses(cell.transport, directory)
    with (
        transport.listen(far) as listener,
        Qemu(_guest_arguments(cell, directory), directory) as qemu,
    ):
        if cell.coding == "xbzrle":
            qemu.capabilities("xbzrle")
        qemu.execute("migrate-set-parameters", **(SLOW if cell.content == "dirtied" else FAST))
        begin = time.monotonic()
        with _received(listener) as arrived:
            qemu.execute("migrate", uri=near or listener.uri)
            if cell.content == "dirtied":
                qemu.wait("enough rounds", lambda: _dirtied(qemu, cell.coding))
                qemu.execute("migrate-set-parameters", **FAST)
            qemu.wait_migrated()
        seconds = time.monotonic() - begin
        [(machine, incoming)] = arrived
        with contextlib.closing(machine):
            if incoming.state is not State.COMPLETED:
                raise QemuError(f"the destination ended with {incoming.error}")
            view = machine.ram.find("pc.ram").view
            wrong = differing(view, (directory / "guest").read_bytes())
        return Outcome(
            cell,
            ODD_SIZE // PAGE,
            wrong,
            _synced(qemu),
            incoming.loader.deltas,
            incoming.received_bytes,
            seconds,
        )


@contextlib.contextmanager
def _received(listener: transport.Listener) -> Iterator[list[tuple[Machine, Incoming]]]:
    """Receive on a thread; what came is in the list when the context has ended."""
    arrived: list[tuple[Machine, Incoming]] = []
    errors: list[Exception] = []

    def work() -> None:
        try:
            machine, stream = adopt(listener.accept(PATIENCE))
            incoming = Incoming(machine, stream, paused=True)
            arrived.append((machine, incoming))
            incoming.run()
        except (QemuError, transport.TransportError) as error:
            errors.append(error)

    thread = threading.Thread(target=work, name="receiver", daemon=True)
    thread.start()
    yield arrived
    thread.join(PATIENCE)
    if errors or not arrived:
        raise QemuError(f"nothing was received: {errors}")


# --- both ------------------------------------------------------------------------------------------


def run(cell: Cell) -> Outcome:
    """Run one cell in a directory of its own; raises `QemuError`."""
    with tempfile.TemporaryDirectory(prefix="stage3-qemu-") as made:
        directory = pathlib.Path(made)
        outcome = (to_qemu if cell.way == WAYS[0] else from_qemu)(cell, directory)
    if cell.content == "dirtied" and outcome.syncs < ROUNDS:
        raise QemuError(f"{cell}: only {outcome.syncs} syncs, so nothing was dirtied meanwhile")
    if cell.content == "dirtied" and cell.coding == "xbzrle" and not outcome.deltas:
        raise QemuError(f"{cell}: no page came as a delta")
    return outcome
