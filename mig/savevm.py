"""What a machine saves: live sections (RAM) in stages, devices at the end, and their description.

Promises: the stream of a registry is header, configuration, START of each live section, any number
of PARTs, END of each, a FULL section for each device, the end byte, and the VM description; names
and instances are unique. End byte and description are kept apart (`tail`): no destination starts before
the end byte (QEMU starts without a description, stage3 does not), so the source can hand over
everything else and still take the guest back.
Assumes: stages are called in order by one thread; `devices_end` while the guest is stopped.
Does not: any I/O.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from mig import checks, wire, wire_commands

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PAGE_SIZE: Final = 4096
_CLAIM_PART: Final = 60_000
"""Bytes of a claim in one command."""
FIRST_SECTION: Final = 2
"""Section id of the first live section: RAM, as on x86."""


class LiveHandler(Protocol):
    """A section sent while the guest runs. Each stage returns the pieces of one section body."""

    def setup(self) -> list[bytes]:
        """What the destination has to know first."""

    def iterate(self) -> list[bytes]:
        """A bounded portion; empty when there is nothing to send."""

    def complete(self) -> list[bytes]:
        """All the rest; the guest is stopped."""


class Device(NamedTuple):
    """State sent after the guest was stopped.

    `size` is that of the body in bytes, always the same; `load` is None for a device that is only
    passed on; `entry` describes it in the VM description.
    """

    name: str
    instance: int
    version: int
    size: int
    save: Callable[[], bytes]
    load: Callable[[bytes], None] | None
    entry: Mapping[str, object]
    required: bool


class _Live(NamedTuple):
    section_id: int
    name: str
    version: int
    handler: LiveHandler


def buffer_entry(name: str, instance: int, version: int, size: int) -> dict[str, object]:
    """The description of a device whose state is one buffer of `size` bytes."""
    return {
        "name": name,
        "instance_id": instance,
        "vmsd_name": name,
        "version": version,
        "fields": [{"name": "state", "type": "buffer", "size": size}],
    }


class Registry:
    """The live sections and devices of one machine."""

    def __init__(self, machine_name: str) -> None:
        self.machine_name = machine_name
        self.devices: dict[tuple[str, int], Device] = {}

    def add_device(
        self,
        name: str,
        instance: int,
        version: int,
        *,
        size: int,
        save: Callable[[], bytes],
        load: Callable[[bytes], None],
        required: bool = True,
    ) -> None:
        """Register an own device with a body of `size` bytes.

        `required`: the destination does not start without its section. Raises `ValueError`.
        """
        entry = buffer_entry(name, instance, version, size)
        self._add(Device(name, instance, version, size, save, load, entry, required))

    def add_opaque(
        self,
        name: str,
        instance: int,
        version: int,
        body: bytes,
        entry: Mapping[str, object] | None = None,
    ) -> None:
        """Register the state of a foreign device, which is passed on unread.

        `entry` is its description in the stream it came from. Raises `ValueError`.
        """
        described = entry or buffer_entry(name, instance, version, len(body))
        self._add(
            Device(
                name, instance, version, len(body), lambda: body, None, described, required=False
            )
        )

    def _add(self, device: Device) -> None:
        key = (device.name, device.instance)
        if key in self.devices:
            raise ValueError(
                f"device {key[0]!r}, instance {key[1]}, is there already; leave it out"
            )
        self.devices[key] = device


class SaveVm:
    """One outgoing stream of a registry; `claim` says what was sent of RAM, for the other side to check."""

    def __init__(
        self,
        registry: Registry,
        ram: LiveHandler,
        claim: Callable[[], checks.Claim] | None = None,
    ) -> None:
        self._registry = registry
        self._claim = claim
        self._live = [_Live(FIRST_SECTION, wire.RAM_NAME, wire.RAM_VERSION, ram)]

    def setup(self, commands: Iterable[bytes] = ()) -> list[bytes]:
        """Header, configuration, `commands` and the START sections."""
        pieces = [wire.header(), wire.configuration(self._registry.machine_name), *commands]
        for live in self._live:
            start = wire.SECTION_START
            pieces.append(wire.section_start(start, live.section_id, live.name, 0, live.version))
            pieces += live.handler.setup()
            pieces.append(wire.footer(live.section_id))
        return pieces

    def iterate(self) -> list[bytes]:
        """PART sections of what is dirty; empty when nothing is."""
        pieces: list[bytes] = []
        for live in self._live:
            if body := live.handler.iterate():
                pieces.append(wire.section_part(wire.SECTION_PART, live.section_id))
                pieces += body
                pieces.append(wire.footer(live.section_id))
        return pieces

    def complete(self, *, own: bool = False) -> list[bytes]:
        """END sections and devices: everything but `tail`. `own`: for a stage3, with a claim before the devices."""
        pieces: list[bytes] = []
        for live in self._live:
            pieces.append(wire.section_part(wire.SECTION_END, live.section_id))
            pieces += live.handler.complete()
            pieces.append(wire.footer(live.section_id))
        if own:
            pieces += self._claimed()
        first = FIRST_SECTION + len(self._live)
        for number, device in enumerate(self._registry.devices.values(), first):
            full = wire.SECTION_FULL
            head = wire.section_start(full, number, device.name, device.instance, device.version)
            pieces += (head, device.save(), wire.footer(number))
        return pieces

    def _claimed(self) -> list[bytes]:
        """The claim with the sizes of the devices to come, in commands."""
        if self._claim is None:
            return []
        devices = self._registry.devices.values()
        sizes = (checks.Section(dev.name, dev.instance, dev.version, dev.size) for dev in devices)
        text = self._claim()._replace(devices=tuple(sizes)).text()
        parts = [text[at : at + _CLAIM_PART] for at in range(0, len(text), _CLAIM_PART)]
        last = len(parts) - 1
        return [
            wire_commands.encode(wire_commands.Claimed(part, at < last))
            for at, part in enumerate(parts)
        ]

    def tail(self) -> bytes:
        """The end byte and the VM description, the last things that the destination waits for."""
        entries = [dict(device.entry) for device in self._registry.devices.values()]
        described: dict[str, object] = {"page_size": PAGE_SIZE, "devices": entries}
        if self._claim is not None:
            described[checks.KEY] = self._claim().values()
        return wire.eof() + wire.vmdescription(json.dumps(described))
