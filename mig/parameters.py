"""Migration parameters with their limits and defaults.

Promises: a `Parameters` object is immutable and every value lies inside the limits of `LIMITS`; a
value that does not raises `ParameterError`, which names it, shows it and says what is allowed.
Does not: reach a running migration by itself: `mig.machine.Machine.set_parameters` replaces the object
as a whole, and a migration looks at the machine's at its next window or sync.

Source: QEMU 7.2 migration/migration.c (`migrate_params_check`), qapi/migration.json.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from mig.ram import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Mapping

WINDOW: Final = 0.1
"""Seconds of a bandwidth window (QEMU's BUFFER_DELAY)."""
WINDOWS: Final = 10
"""Windows in a second."""
UNLIMITED: Final = 1 << 62
"""A byte budget that no window reaches."""

LIMITS: Final[Mapping[str, tuple[int, int]]] = {
    "max_bandwidth": (1, 1 << 50),
    "downtime_limit_ms": (0, 2_000_000),
    "drain_limit": (1, UNLIMITED),
    "xbzrle_cache_size": (PAGE_SIZE, 1 << 50),
    "throttle_trigger_threshold": (1, 100),
    "cpu_throttle_initial": (1, 99),
    "cpu_throttle_increment": (1, 99),
    "max_cpu_throttle": (1, 99),
    "stall_timeout_ms": (0, 86_400_000),
    "page_size": (PAGE_SIZE, PAGE_SIZE),
    "portion_pages": (1, 1 << 20),
    "batch_pages": (1, 1 << 12),
    "iterate_ms": (1, 1000),
}
"""Smallest and largest value of each parameter."""


class ParameterError(ValueError):
    """A parameter outside its limits."""


@dataclasses.dataclass(frozen=True, slots=True)
class Parameters:
    """What a migration may use."""

    max_bandwidth: int = 128 << 20
    """Bytes per second (default since QEMU 7590a2ae09; 32 MiB/s before)."""
    downtime_limit_ms: int = 300
    """Longest stop of the guest aimed at (default since QEMU f7cd55a023; 30 before)."""
    drain_limit: int = (1 << 31) - 1
    """Byte budget of the last flush: INT_MAX in QEMU 2dddf6f413; small here for small guests."""
    xbzrle_cache_size: int = 64 << 20
    """Bytes; a power of two."""
    throttle_trigger_threshold: int = 50
    """Percent of what was sent in a period that may be dirtied in it before vCPUs are slowed down."""
    cpu_throttle_initial: int = 20
    """Percent of the time that vCPUs sleep at first."""
    cpu_throttle_increment: int = 10
    """Percent points added when that was not enough."""
    max_cpu_throttle: int = 99
    """Percent that is never exceeded."""
    stall_timeout_ms: int = 30_000
    """Milliseconds in which the destination takes nothing, or does not answer, after which the migration fails.

    0: never; when it starts with 0, a migration is not watched later either.
    """
    page_size: int = PAGE_SIZE
    """Bytes; only 4096."""
    portion_pages: int = 256
    """Most pages walked in one hold of the locks."""
    batch_pages: int = 256
    """Pages cleared, read and framed at once."""
    iterate_ms: int = 50
    """Longest hold of the locks in milliseconds, looked at between batches (QEMU's MAX_WAIT)."""

    def __post_init__(self) -> None:
        for name, (low, high) in LIMITS.items():
            value: object = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
                raise ParameterError(
                    f"migration parameter {name} is {value!r}; give a whole number"
                    f" from {low} to {high}"
                )
        if self.xbzrle_cache_size & (self.xbzrle_cache_size - 1):
            raise ParameterError(
                f"migration parameter xbzrle_cache_size is {self.xbzrle_cache_size};"
                f" give a power of two from {PAGE_SIZE}"
            )
        if self.cpu_throttle_initial > self.max_cpu_throttle:
            raise ParameterError(
                f"migration parameter max_cpu_throttle is {self.max_cpu_throttle}, below"
                f" cpu_throttle_initial, {self.cpu_throttle_initial}; raise it or lower the other"
            )

    @property
    def window_bytes(self) -> int:
        """Bytes that may be written in a window."""
        return max(1, self.max_bandwidth // WINDOWS)

    def changed(self, **changes: int) -> Parameters:
        """These parameters with some of them changed; raises `ParameterError`."""
        if unknown := sorted(changes.keys() - LIMITS.keys()):
            raise ParameterError(
                f"no migration parameter {unknown[0]!r}; there are: {', '.join(LIMITS)}"
            )
        return dataclasses.replace(self, **changes)
