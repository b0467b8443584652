"""The destination: what it loads, what it refuses, and that only a whole guest is started."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from mig import wire
from mig.incoming import TRANSITIONS, Incoming, State
from mig.ram import RamList
from mig.tracepoints import Tracepoints

if TYPE_CHECKING:
    from collections.abc import Iterable

PAGE = wire.PAGE_BYTES
BLOCKS = [("ram", 3 * PAGE), ("rom", PAGE)]
NAME = "toy"
HEAD = wire.header() + wire.configuration(NAME)
SETUP = (
    wire.section_start(wire.SECTION_START, 2, "ram", 0, 4)
    + wire.ram_setup(4 * PAGE, BLOCKS)
    + wire.ram_eos()
    + wire.footer(2)
)
VCPU = wire.section_start(wire.SECTION_FULL, 5, "vcpu", 0, 1) + b"steps" + wire.footer(5)
FOREIGN = wire.section_start(wire.SECTION_FULL, 6, "apic", 0, 3) + b"opaque!" + wire.footer(6)
DESCRIPTION = wire.vmdescription(
    '{"page_size": 4096, "devices": ['
    '{"name": "vcpu", "instance_id": 0, "version": 1, "fields": [{"size": 5}]},'
    '{"name": "apic", "instance_id": 0, "version": 3, "fields": [{"size": 7}]}]}'
)


def ram(kind: wire.Section, *records: bytes) -> bytes:
    """A RAM section of these records."""
    return b"".join([wire.section_part(kind, 2), *records, wire.ram_eos(), wire.footer(2)])


FIRST = ram(
    wire.SECTION_PART,
    wire.page_header(0, "ram") + b"\x01" * PAGE,
    wire.page_header(PAGE, None) + b"\x02" * PAGE,
    wire.zero_record(2 * PAGE, None),
    wire.page_header(0, "rom") + b"\x04" * PAGE,
)
LAST = ram(
    wire.SECTION_END,
    wire.zero_record(PAGE, "ram"),
    wire.xbzrle_record(0, None, b"\x02\x01\x09"),
)
WHOLE = HEAD + SETUP + FIRST + LAST + VCPU + FOREIGN + wire.eof() + DESCRIPTION


class Machine:
    """A destination of two blocks and one device, `vcpu` with five bytes of state."""

    name = NAME

    def __init__(self) -> None:
        self.trace = Tracepoints("destination")
        self.ram = RamList(self.trace)
        for name, length in BLOCKS:
            self.ram.add(name, length)
        self.log: list[str] = []

    def device_size(self, name: str, instance: int, version: int) -> int | None:
        """Only `vcpu` is known."""
        return 5 if (name, instance, version) == ("vcpu", 0, 1) else None

    def load_device(self, name: str, instance: int, version: int, body: bytes) -> None:
        """Note the state."""
        self.log.append(f"load {name} {body.decode()}")

    def missing_devices(self, loaded: Iterable[tuple[str, int]]) -> list[str]:
        """`vcpu` is necessary."""
        return [] if ("vcpu", 0) in loaded else ["vcpu"]

    def start_guest(self) -> None:
        """Note the start."""
        self.log.append("start")

    def memory(self) -> list[bytes]:
        """Content of both blocks."""
        return [bytes(self.ram.find(name).view) for name, _ in BLOCKS]


def receive(stream: bytes, *, paused: bool = False) -> tuple[Machine, Incoming]:
    """Send `stream`, close, and let the destination finish."""
    machine = Machine()
    source, destination = socket.socketpair()
    incoming = Incoming(
        machine,
        destination,
        before_start=lambda: machine.log.append("before start"),
        paused=paused,
    )
    incoming.start()
    with source:
        source.sendall(stream)
    assert incoming.join(10)
    return machine, incoming


def test_whole_guest_starts() -> None:
    """Memory, own and foreign devices are there before the guest is started."""
    machine, incoming = receive(WHOLE)
    assert incoming.error is None
    assert incoming.state is State.COMPLETED
    assert machine.log == ["load vcpu steps", "before start", "start"]
    first = b"\x01\x01\x09" + b"\x01" * (PAGE - 3)
    assert machine.memory() == [first + bytes(2 * PAGE), b"\x04" * PAGE]
    assert [(entry.name, entry.body) for entry in incoming.foreign] == [("apic", b"opaque!")]
    counts = incoming.loader
    assert (counts.normal, counts.duplicate, counts.deltas) == (3, 2, 1)
    assert incoming.received_bytes == len(WHOLE)


def test_paused_guest_stays_stopped() -> None:
    """With `paused` everything is loaded and nothing runs."""
    machine, incoming = receive(WHOLE, paused=True)
    assert incoming.state is State.COMPLETED
    assert machine.log == ["load vcpu steps", "before start"]


BIG = wire.section_start(wire.SECTION_START, 2, "ram", 0, 4)
OTHER = BIG + wire.ram_setup(PAGE, [("vga", PAGE)]) + wire.ram_eos() + wire.footer(2)
EXTRA = BIG + wire.ram_setup(5 * PAGE, [*BLOCKS, ("vga", PAGE)]) + wire.ram_eos() + wire.footer(2)
END = wire.eof() + DESCRIPTION
EARLY_DELTA = wire.xbzrle_record(0, "ram", b"\x02\x01\x09")
BAD_DELTA = wire.xbzrle_record(0, "ram", b"\x02\x00")


@pytest.mark.parametrize(
    ("stream", "what"),
    [
        (b"", "ends inside header"),
        (WHOLE[:-1], "no VM description at the stream's end"),
        (HEAD + SETUP + LAST[:20], "cut short"),
        (HEAD + SETUP + FIRST + LAST + VCPU + wire.eof(), "ended in state description"),
        (HEAD + SETUP + FIRST + VCPU + END, "DeviceSection at byte"),
        (HEAD + SETUP + ram(wire.SECTION_END, EARLY_DELTA) + VCPU + END, "did not come before"),
        (HEAD + SETUP + FIRST + ram(wire.SECTION_END, BAD_DELTA) + VCPU + END, "page 0x0 of RAM"),
        (HEAD + SETUP + LAST[:-13][:5] + LAST[-13:] + VCPU + END, "never came: {'ram': 3, 'rom'"),
        (HEAD + SETUP + FIRST + LAST + FOREIGN + END, "no state came for vcpu"),
        (HEAD + SETUP + FIRST + LAST + END, "no state came for vcpu"),
        (wire.header() + wire.configuration("pc") + SETUP, "the source is a 'pc'"),
        (wire.header() + SETUP, "SectionStart at byte"),
        (HEAD + wire.command(2, bytes(4)), "asks (PING 0) before it opened the return path"),
        (HEAD + wire.command(1) * 2, "opens the return path twice"),
        (HEAD + wire.command(4), "Bare(code=<Code.POSTCOPY_LISTEN: 4>)"),
        (HEAD + wire.command(0x5333, b"\0{}"), "the source sends Claimed"),
        (HEAD + OTHER, "RAM block 'ram': 0 bytes at the source, 12288 here"),
        (HEAD + EXTRA, "RAM block 'vga': 4096 bytes at the source, 0 here"),
        (b"GET / HTTP/1.1\r\n", "0x47455420"),
    ],
)
def test_anything_less_does_not_start(stream: bytes, what: str) -> None:
    """A stream that is cut, incomplete, foreign or out of order starts nothing, and says why."""
    machine, incoming = receive(stream)
    assert incoming.state is State.FAILED
    assert what in str(incoming.error)
    assert machine.log == []


def test_every_truncation_fails() -> None:
    """Cut anywhere, the stream never starts the guest."""
    body = len(WHOLE) - len(DESCRIPTION)
    for length in [*range(0, 180, 7), *range(body - 40, len(WHOLE), 9)]:
        machine, incoming = receive(WHOLE[:length])
        assert (incoming.state, machine.log) == (State.FAILED, [])


def test_connection_reset_fails() -> None:
    """An error of the socket is the reason of the failure."""
    machine = Machine()
    source, destination = socket.socketpair()
    source.close()
    destination.close()
    incoming = Incoming(machine, destination)
    incoming.run()
    assert incoming.state is State.FAILED
    assert isinstance(incoming.error, OSError)


def test_own_fault_does_not_start_the_guest() -> None:
    """An exception that is no input error passes on, and the guest stays stopped."""
    machine = Machine()
    source, destination = socket.socketpair()

    def broken() -> None:
        raise ZeroDivisionError

    incoming = Incoming(machine, destination, before_start=broken)
    with source:
        source.sendall(WHOLE)
    with pytest.raises(ZeroDivisionError):
        incoming.run()
    assert incoming.state is State.FAILED
    assert "internal error in stage3" in str(incoming.error)
    assert machine.log == ["load vcpu steps"]


def test_states_are_all_reached() -> None:
    """Every state but CREATED and FAILED is entered by the table, and none leaves the last two."""
    assert {*TRANSITIONS.values()} == {*State} - {State.CREATED, State.FAILED}
    assert not {State.COMPLETED, State.FAILED} & {state for state, _ in TRANSITIONS}
