"""Streams of a registry, read back by the decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from mig import wire
from mig.savevm import Registry, SaveVm, buffer_entry
from mig.wire_decode import Decoder
from mig.wire_events import DeviceSection, RamSetup, SectionEnd, SectionPart, VmDescription

if TYPE_CHECKING:
    from mig.wire_events import Event

BLOCKS = [("ram", 8192)]


class Ram:
    """A live section of one zero page, sent at the end."""

    def __init__(self) -> None:
        self.portions = [[wire.zero_record(0, "ram"), wire.ram_eos()], []]

    def setup(self) -> list[bytes]:
        """The list of blocks."""
        return [wire.ram_setup(8192, BLOCKS), wire.ram_eos()]

    def iterate(self) -> list[bytes]:
        """The next portion."""
        return self.portions.pop(0)

    def complete(self) -> list[bytes]:
        """The second page, with its name."""
        return [wire.zero_record(4096, "ram"), wire.ram_eos()]


def registry() -> Registry:
    """Two own devices and one passed on."""
    made = Registry("toy")
    made.add_device("vcpu", 0, 1, size=3, save=lambda: b"one", load=lambda _: None)
    made.add_device("vcpu", 1, 1, size=3, save=lambda: b"two", load=lambda _: None)
    made.add_opaque("apic", 0, 2, b"opaque")
    return made


def size(name: str, _instance: int, _version: int) -> int | None:
    """Own devices are three bytes long."""
    return 3 if name == "vcpu" else None


def test_stream() -> None:
    """All stages in order are a stream whose parts come back as they were."""
    save = SaveVm(registry(), Ram())
    stream = b"".join([*save.setup(), *save.iterate(), *save.iterate(), *save.complete()])
    decoder = Decoder(size)
    decoder.feed(stream + save.tail())
    events = [*decoder, *finish(decoder)]
    assert RamSetup(8192, tuple(BLOCKS)) in events
    parts = [event.kind for event in events if isinstance(event, SectionPart)]
    assert [wire.SECTION_PART, wire.SECTION_END] == parts
    ends = [event.section_id for event in events if isinstance(event, SectionEnd)]
    assert [2, 2, 2] == ends
    devices = [event for event in events if isinstance(event, DeviceSection)]
    assert [
        (3, "vcpu", 0, 1, b"one", True),
        (4, "vcpu", 1, 1, b"two", True),
        (5, "apic", 0, 2, b"opaque", False),
    ] == [tuple(device) for device in devices]
    assert isinstance(events[-1], VmDescription)


def finish(decoder: Decoder) -> list[Event]:
    """The last events, at the end of the stream."""
    decoder.finish()
    return list(decoder)


def test_not_whole_without_tail() -> None:
    """Without its tail no stream is whole, with foreign devices or without."""
    save = SaveVm(registry(), Ram())
    decoder = Decoder(size)
    decoder.feed(b"".join([*save.setup(), *save.complete()]))
    list(decoder)
    with pytest.raises(wire.WireError):
        finish(decoder)


def test_description() -> None:
    """An own description of a foreign device is passed on as it is."""
    made = Registry("toy")
    entry = {**buffer_entry("apic", 0, 2, 4), "vmsd_name": "other"}
    made.add_opaque("apic", 0, 2, b"four", entry)
    assert b'"vmsd_name": "other"' in SaveVm(made, Ram()).tail()


def test_twice() -> None:
    """A device that is there already is refused."""
    made = registry()
    with pytest.raises(ValueError, match="device 'vcpu', instance 1, is there already"):
        made.add_opaque("vcpu", 1, 1, b"")
    assert 3 == len(made.devices)
