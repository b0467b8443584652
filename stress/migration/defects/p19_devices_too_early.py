"""P19. Devices are saved before the guest stands still.

Upstream: ecb23efea0 (2021), for snapshots: device state that was not flushed.
1. migration: takes the registers of vCPU 0 with the first portion.
2. vcpu 0: goes on.
3. incoming: loads registers that do not fit the memory.
Fix: save devices when every vCPU has stopped.
"""

from __future__ import annotations

from mig.savevm import Device, SaveVm
from stress.migration.defects.frame import Defect, Step


def setup(self: SaveVm) -> list[bytes]:
    """The head of the stream; and the devices as they are now."""
    devices = self._registry.devices
    vars(self)["early"] = {
        key: _frozen(device, device.save()) for key, device in devices.items() if key[0] == "vcpu"
    }
    return whole_setup(self)


def complete(self: SaveVm) -> list[bytes]:
    """The end, with the devices of before."""
    registry = self._registry
    now, registry.devices = registry.devices, {**registry.devices, **vars(self)["early"]}
    try:
        return whole(self)
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
    (Step(SaveVm, "setup", setup, "b6221cc8"), Step(SaveVm, "complete", complete, "462a6c72")),
    arguments={"vcpus": 1, "pages": 2},
)
