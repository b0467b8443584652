"""Detectors: listeners that judge an execution, one cause class a file.

`default_detectors` is what every check uses: what it reports is wrong whatever the program means. `ON_REQUEST`
are those whose findings a program may live with; a check uses them when their names are asked for (`detect=`,
`--detect`). Each is an ordinary `verify.abc.Detector`; a user's own goes into the same list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.detectors.atomicity import Atomicity
from verify.detectors.blocking import BlockingUnderLock
from verify.detectors.deadlock import Deadlock
from verify.detectors.exceptions import Exceptions
from verify.detectors.invariants import Invariants
from verify.detectors.leaks import Leaks
from verify.detectors.livelock import Livelock
from verify.detectors.lock_order import LockOrder
from verify.detectors.lockset import Lockset
from verify.detectors.lost_wakeup import LostWakeup
from verify.detectors.race import Race
from verify.detectors.sometimes import Sometimes
from verify.detectors.spin import Spin
from verify.detectors.starvation import Starvation
from verify.detectors.undrained import Undrained

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from verify.abc import Detector

__all__ = [
    "ON_REQUEST",
    "Atomicity",
    "BlockingUnderLock",
    "Deadlock",
    "Exceptions",
    "Invariants",
    "Leaks",
    "Livelock",
    "LockOrder",
    "Lockset",
    "LostWakeup",
    "Race",
    "Sometimes",
    "Spin",
    "Starvation",
    "Undrained",
    "default_detectors",
]

ON_REQUEST: Mapping[str, Callable[[], Detector]] = {
    "race": Race,
    "atomicity": Atomicity,
    "starvation": Starvation,
    "leaks": Leaks,
    "undrained": Undrained,
    "lockset": Lockset,
}


def default_detectors() -> list[Detector]:
    """Return fresh detectors for hangs, exceptions, invariants and states that should be reached."""
    return [Deadlock(), LostWakeup(), Spin(), Livelock(), Exceptions(), Invariants(), Sometimes()]
