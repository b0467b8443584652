"""Migration capabilities: what a migration may do beside the plain precopy.

Promises: a `Capabilities` object is immutable, every value is a bool, and names are QEMU's with '_'
for '-'; anything else raises `CapabilityError`, which shows it and says what there is.
Does not: change during a migration: a migration keeps those it was started with.

Source: QEMU qapi/migration.json (`MigrationCapability`).
"""

from __future__ import annotations

import dataclasses
from typing import Final


class CapabilityError(ValueError):
    """A capability that does not exist, or a value that is no bool."""


@dataclasses.dataclass(frozen=True, slots=True)
class Capabilities:
    """What is switched on; nothing by default."""

    xbzrle: bool = False
    """Pages that are sent again go as deltas to what was sent before."""
    auto_converge: bool = False
    """vCPUs are slowed down when they dirty memory faster than it is sent."""
    release_ram: bool = False
    """Memory is given back to the kernel when the guest is at the destination for good, not before."""
    pause_before_switchover: bool = False
    """The guest is stopped and then held until `migrate-continue`."""
    return_path: bool = False
    """The destination answers: what it could load, and that it has taken over."""
    events: bool = False
    """The user is told every state and every pass."""
    zero_blocks: bool = False
    """Accepted and without effect, as in QEMU: it belongs to block migration."""

    def __post_init__(self) -> None:
        for name in NAMES:
            value: object = getattr(self, name)
            if not isinstance(value, bool):
                raise CapabilityError(
                    f"migration capability {name} is {value!r}; give True or False"
                )

    def changed(self, **changes: bool) -> Capabilities:
        """These capabilities with some of them changed; raises `CapabilityError`."""
        if unknown := sorted(changes.keys() - set(NAMES)):
            raise CapabilityError(
                f"no migration capability {unknown[0]!r}; there are: {', '.join(NAMES)}"
            )
        return dataclasses.replace(self, **changes)


NAMES: Final[tuple[str, ...]] = tuple(field.name for field in dataclasses.fields(Capabilities))
"""Every capability."""
