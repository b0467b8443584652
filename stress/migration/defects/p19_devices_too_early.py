"""P19. Devices are saved before the guest stands still.

Upstream: ecb23efea0 (2021), for snapshots: device state that was not flushed.
1. migration: takes the registers of vCPU 0 with the first portion.
2. vcpu 0: goes on.
3. incoming: loads registers that do not fit the memory.
Fix: save devices when every vCPU has stopped.
"""

from __future__ import annotations

from collections.abc import Iterable  # noqa: TC003 - a block would not fit the form

from mig.savevm import Device, SaveVm
from stress.migration.defects.frame import Defect, Step


def setup(self: SaveVm, commands: Iterable[bytes] = ()) -> list[bytes]:
    """The head of the stream; and the devices as they are now."""
    items = self._registry.devices.items()
    vars(self)["early"] = {key: _frozen(dev, dev.save()) for key, dev in items if key[0] == "vcpu"}
    return whole_setup(self, commands)


def complete(self: SaveVm, *, own: bool = False) -> list[bytes]:
    """The end, with the devices of before."""
    registry = self._registry
    now, registry.devices = registry.devices, {**registry.devices, **vars(self)["early"]}
    try:
        return whole(self, own=own)
    finally:
        registry.devices = now


def _frozen(device: Device, body: bytes) -> Device:
    return device._replace(save=lambda: body)


whole, whole_setup = SaveVm.complete, SaveVm.setup

DEFECT = Defect(
    __doc__,
    "migration",
    "broken invariant",
    "devices equal",
    (Step(SaveVm, "setup", setup, "9f3d4957"), Step(SaveVm, "complete", complete, "84156e72")),
    arguments={"vcpus": 1, "pages": 2},
)
