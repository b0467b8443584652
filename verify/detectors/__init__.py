"""Detectors: listeners that judge an execution, one cause class a file.

`default_detectors` is what every check uses. Each is an ordinary `verify.abc.Detector`; a user's
own goes into the same list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.detectors.blocking import BlockingUnderLock
from verify.detectors.deadlock import Deadlock
from verify.detectors.exceptions import Exceptions
from verify.detectors.invariants import Invariants
from verify.detectors.livelock import Livelock
from verify.detectors.lock_order import LockOrder
from verify.detectors.lockset import Lockset
from verify.detectors.spin import Spin

if TYPE_CHECKING:
    from verify.abc import Detector

__all__ = [
    "BlockingUnderLock",
    "Deadlock",
    "Exceptions",
    "Invariants",
    "Livelock",
    "LockOrder",
    "Lockset",
    "Spin",
    "default_detectors",
]


def default_detectors() -> list[Detector]:
    """Return fresh detectors for hangs, exceptions and invariants."""
    return [Deadlock(), Spin(), Livelock(), Exceptions(), Invariants()]
