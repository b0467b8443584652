"""Migration parameters with their limits and defaults.

Promises: a `Parameters` object is immutable and every value lies inside the limits of `LIMITS`; a
value that does not raises `ParameterError`, which names it, shows it and says what is allowed.
Does not: change during a migration.
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
    """Bytes."""
    page_size: int = PAGE_SIZE
    """Bytes; only 4096."""
    portion_pages: int = 2048
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
