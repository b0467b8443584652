"""The machines at both ends of `stage3 migrate`: a guest, and vCPUs that keep writing.

Promises: both ends get the same blocks, devices and vCPU programs, so that one can continue the
other; device sections of an image that this machine has itself (`globalstate`) are replaced by its
own.
Assumes: checked options. Does not: start processes or open sockets.
"""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from mig import designs
from mig.image import RAW_BLOCK, RAW_MACHINE, GuestImage, ImageBlock
from mig.machine import VCPU, Machine
from mig.parameters import Parameters
from mig.vcpu.soft import PageIncrement
from stress import digests
from stress.migrate_types import Figures, MigrateOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mig.machine import MakeProgram
    from mig.migration import Migration
    from mig.transport import Stream
    from mig.vcpu.guests import CountingGuest
    from stress.digests import Digests
    from stress.real_guests import Running

PAGE: Final = 4096
FILLED: Final = 3
"""One page of so many has content in a made-up guest; the others are zero."""
WINDOW: Final = 4
"""The vCPUs write to the first of so many equal parts of the largest block."""


def made_up(size: int) -> GuestImage:
    """A guest of one block of `size` bytes: every third page random (always the same), others zero."""
    memory = np.zeros((size // PAGE, PAGE), dtype=np.uint8)
    filled = memory[::FILLED]
    filled[:] = np.random.default_rng(2012).integers(0, 256, filled.shape, dtype=np.uint8)
    block = ImageBlock(RAW_BLOCK, size, bytearray(memory.data.cast("B")))
    return GuestImage(RAW_MACHINE, (block,), (), b"", size)


def blank(size: int) -> GuestImage:
    """A guest of one block of `size` bytes, all zeros and untouched, to be filled in place."""
    block = ImageBlock(RAW_BLOCK, size, bytearray())
    return GuestImage(RAW_MACHINE, (block,), (), b"", size)


def _program(number: int, rate: int, machine: Machine, _: int) -> PageIncrement:
    block = max(machine.ram.blocks(), key=lambda block: block.used_length)
    return PageIncrement(
        machine.log,
        block,
        pages=max(1, block.pages // WINDOW),
        writes=None if rate else 0,
        rate=rate or None,
        stride=2 * number + 1,
        slot=number,
    )


def programs(vcpus: int, dirty_rate: int) -> list[MakeProgram]:
    """One program for each vCPU; together they store `dirty_rate` times a second.

    All write to the same pages, each to a word of its own, with a stride of its own.
    """
    shares = [dirty_rate // vcpus + (number < dirty_rate % vcpus) for number in range(vcpus)]
    return [partial(_program, number, rate) for number, rate in enumerate(shares)]


def vcpu_states(machine: Machine) -> dict[str, bytes]:
    """The registers of every vCPU, name/instance/version to bytes; no vCPU may run."""
    return {
        f"{device.name}/{device.instance}/{device.version}": device.save()
        for device in machine.registry.devices.values()
        if device.name == VCPU
    }


def _entries(guest: GuestImage) -> dict[tuple[str, int], Mapping[str, object]]:
    """The VM description's own words for each device section; it was validated when read."""
    if not guest.description:
        return {}
    described = cast("dict[str, list[dict[str, object]]]", json.loads(guest.description))
    return {
        (cast("str", entry["name"]), cast("int", entry["instance_id"])): entry
        for entry in described["devices"]
    }


def fill(machine: Machine, guest: GuestImage) -> dict[str, bytes]:
    """Give the machine the guest's memory, and its device sections to pass on.

    Returns those sections, name/instance/version to body. The machine has the guest's blocks.
    """
    for block in guest.blocks:
        if block.data:
            machine.ram.find(block.name).view[:] = block.data
    entries, opaque = _entries(guest), {}
    for section in guest.devices:
        key = (section.name, section.instance)
        if key in machine.registry.devices:
            continue
        machine.registry.add_opaque(
            section.name, section.instance, section.version, section.body, entries.get(key)
        )
        opaque[f"{section.name}/{section.instance}/{section.version}"] = section.body
    return opaque


class Source:
    """The machine that is migrated away, and its one migration."""

    def __init__(self, guest: GuestImage, options: MigrateOptions, runs: Running) -> None:
        blocks = [(block.name, block.length) for block in guest.blocks]
        self._runs = runs
        self.machine = Machine(
            "source",
            blocks,
            runs.programs,
            designs.by_name(options.design),
            Parameters(
                max_bandwidth=options.max_bandwidth,
                downtime_limit_ms=round(options.downtime_limit * 1000),
                drain_limit=options.drain_limit,
            ),
            name=guest.machine,
            log=runs.log,
        )
        self.opaque = fill(self.machine, guest)
        """Device sections passed on: name/instance/version to body."""
        if options.load is not None:
            options.load.fill(self.machine.ram.blocks()[0])
        if runs.counting is not None:
            runs.counting.prepare(self.machine)
        self.time_limit = options.time_limit
        self.late = False
        self._migration: Migration | None = None
        self._digested = 0

    @property
    def counting(self) -> CountingGuest | None:
        """The counting guest that runs here; None for another one."""
        return self._runs.counting

    @property
    def migration(self) -> Migration:
        """The migration that `start` began."""
        assert self._migration is not None, "start comes first"
        return self._migration

    def start(self, sock: Stream) -> None:
        """Let the vCPUs run and begin to migrate through `sock`."""
        self.machine.start()
        self._migration = self.machine.migrate(sock)

    def wait(self, seconds: float) -> bool:
        """Whether the migration ended within `seconds`."""
        return self.migration.join(seconds)

    def progress(self) -> int:
        """A number that grows while the migration gets on, whatever the vCPUs do."""
        migration = self._migration
        if migration is None:
            return 0
        channel = migration.channel
        moved = channel.appended + channel.written + len(migration.ram.syncs)
        return moved + migration.finished + self._digested

    def figures(self) -> Figures:
        """The figures of `info migrate` as they are now."""
        info = self.migration.info()
        return Figures(
            status=info.status,
            transferred=info.ram.transferred,
            remaining=info.ram.remaining,
            total=info.ram.total,
            total_time=info.total_time,
            downtime=info.downtime,
            expected_downtime=info.expected_downtime,
            setup_time=info.setup_time,
            dirty_sync_count=info.ram.dirty_sync_count,
            duplicate=info.ram.duplicate,
            normal=info.ram.normal,
            throughput=info.ram.mbps,
            sync_dirty=info.sync_dirty,
        )

    def cancel(self) -> None:
        """Give up: the guest stays here."""
        self.late = True
        self.migration.cancel()

    def error(self) -> str | None:
        """Why the migration failed."""
        if self.late:
            return (
                f"cancelled, not converged within {self.time_limit:g} s; lower the dirty rate, or"
                " raise bandwidth, downtime limit or time limit"
            )
        return self.migration.info().error

    def digests(self) -> dict[str, Digests]:
        """Digests of every page of every block; the guest must not run here any more."""
        return {
            block.name: digests.page_digests(block.view, self._advance)
            for block in self.machine.ram.blocks()
        }

    def device_states(self) -> dict[str, bytes]:
        """Every device section sent but `globalstate`; the guest must not run here any more."""
        return {**self.opaque, **vcpu_states(self.machine)}

    def _advance(self) -> None:
        self._digested += 1

    def close(self) -> None:
        """End all threads."""
        self.machine.close()
        self._runs.close()
