"""Entries of the catalogue that are not in the museum, each with the reason.

Promises: together with the defects every entry is accounted for. Does not: hold that they could not be had one day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_MULTIFD: Final = "the engine has one channel, no multifd"
_POSTCOPY: Final = "the engine has no postcopy"
_RETURN: Final = "the engine reads no return path yet"
_DISKS: Final = "the machine has no disks to hand over"

ABSENT: Final[Mapping[str, str]] = {
    "B17": "marks are single byte stores under the interpreter's own order: no flag stands beside a payload",
    "B22": _POSTCOPY,
    "C06": "vCPU threads let go of the big lock to run: there is no hint that makes them yield",
    "C08": "the iothread waits for no list of its own timers",
    "C11": "slices are measured by each vCPU itself: no timer is armed anew",
    "C18": _DISKS,
    "C19": _DISKS,
    "C22": "the downtime may be twice its limit: a figure, no interleaving",
    "C24": _DISKS,
    "H7": "as C06",
    **dict.fromkeys(
        ("M04", "M06", "M08", "M09", "M11", "M13", "M15", "M16", "M17", "M19", "M20"), _MULTIFD
    ),
    **dict.fromkeys(("M21", "M22", "M25", "M26", "X06"), _MULTIFD),
    **dict.fromkeys(
        ("P01", "P02", "P03", "P04", "P07", "P08", "P09", "P10", "P12", "P13", "P15", "P17", "P20"),
        _POSTCOPY,
    ),
    "P16": "commands have one table with fixed numbers; an old peer is needed to misread it",
    "P22": "a fault of the management layer, above the engine",
    **dict.fromkeys(("R01", "R03", "R04", "R05"), _RETURN),
    "R08": "there is no pointer to a current file: every migration has its own",
    "R10": "threads are given what they use before they start, and memory cannot go away under a reference",
    "R13": "the destination loads on a thread of its own, so that its monitor is never behind it",
    "R14": "only the text of an error is lost: the first is kept, and no schedule shows it otherwise",
    "X01": "memory cannot go away under a reference: who holds the old cache uses it to the end",
}
"""By id."""
