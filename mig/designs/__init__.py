"""Who runs a migration and under which lock: one class a design, `by_name` to choose one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mig.designs.rfc_faults import FAULTS
from mig.designs.rfc_v1 import RfcV1
from mig.designs.thread import Thread

if TYPE_CHECKING:
    from mig.designs.base import Design

NAMES: tuple[str, ...] = ("thread", "rfc_v1")
"""The designs there are; `by_name` knows each fault of `rfc_v1` alone, too."""


def by_name(name: str) -> type[Design]:
    """The design of that name; raises `ValueError` for an unknown one."""
    designs: tuple[type[Thread], ...] = (Thread, RfcV1, *FAULTS)
    for design in designs:
        if design.name == name:
            return design
    raise ValueError(f"unknown design {name!r}; choose one of {', '.join(NAMES)}")
