"""The names under which the command line knows the scenarios: `stress.migration.scenarios:NAME?design=...&vcpus=...`.

Promises: each runs under control with the engine in scope; `design` is any name that
`mig.designs.by_name` knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from mig import locks
from stress.migration import closed, whole
from verify import Settings, scenario
from verify.detectors import BlockingUnderLock, LockOrder, Lockset, Race, default_detectors

if TYPE_CHECKING:
    from verify.abc import Detector

PACKAGES: Final = ("mig", "stress.migration")
SETTINGS: Final = Settings(
    max_steps=6000, fair_steps=6000, max_jumps=5000, link_bytes_per_s=1e9, socket_buffer=16_384
)
"""`max_jumps`: the engine's longest loop without an operation has a few hundred rounds on these guests."""

LOCK_FREE: Final = frozenset({"guest_page", "dirty_log", "exit_request"})
"""Declared accesses that need no lock by design: single byte stores whose order is what the oracle checks."""


def judges() -> list[Detector]:
    """Return the detectors of every scenario: hangs, exceptions, invariants, the declared lock order."""
    return [*default_detectors(), LockOrder([*locks.ORDER, *locks.LEAVES])]


def audit() -> list[Detector]:
    """Return the detectors of the locking audit, which look at every declared access and blocking call, too."""
    return [*judges(), Lockset(ignore=LOCK_FREE), BlockingUnderLock(locks.ORDER)]


def unordered() -> list[Detector]:
    """Return the detectors of the search for races: of declared accesses, those that nothing orders."""
    return [Race(ignore=LOCK_FREE), *judges()]


_mark = scenario(packages=PACKAGES, settings=SETTINGS, detectors=judges)

migration = _mark(whole.migration)
busy_migration = _mark(whole.busy_migration)
destination_dies = _mark(whole.destination_dies)
cancelled = _mark(whole.cancelled)
commanded = _mark(whole.commanded)
link_cut = _mark(whole.link_cut)
held = _mark(whole.held)
stalled = _mark(whole.stalled)
tunnelled = _mark(whole.tunnelled)
reset_meanwhile = _mark(whole.reset_meanwhile)
stop_handshake = _mark(closed.stop_handshake)
harvest_against_write = _mark(closed.harvest_against_write)
channel_close = _mark(closed.channel_close)
cancel_against_complete = _mark(closed.cancel_against_complete)
hot_add_against_walk = _mark(closed.hot_add_against_walk)

WHOLE: Final = (
    "migration", "busy_migration", "destination_dies", "cancelled", "commanded", "tunnelled", "reset_meanwhile",
    "link_cut", "held", "stalled",
)  # fmt: skip
CLOSED: Final = (
    "stop_handshake", "harvest_against_write", "channel_close", "cancel_against_complete", "hot_add_against_walk",
)  # fmt: skip


class Exhaustible(NamedTuple):
    """A closed scenario at a size at which it can be exhausted at granularity auto, and its faulty twin's fault."""

    name: str
    sizes: str
    fault: str

    def target(self, *, faulty: bool = False) -> str:
        """Return the target, of design `thread` or of that with the fault."""
        design = f"thread%2B{self.fault}" if faulty else "thread"
        return f"stress.migration.scenarios:{self.name}?design={design}{self.sizes}"


EXHAUSTIBLE: Final = (
    Exhaustible("stop_handshake", "&vcpus=1", "notify-one-stopper"),
    Exhaustible("harvest_against_write", "&pages=2&writes=1", "skip-setup-harvest"),
    Exhaustible("channel_close", "&queued=5", "close-under-big-lock"),
    Exhaustible("cancel_against_complete", "", "cancel-without-swap"),
    Exhaustible("hot_add_against_walk", "&changes=2", "walk-without-mutex"),
)
"""All five, with their faulty twins."""


@scenario(packages=PACKAGES, settings=SETTINGS, detectors=audit)
def locking(design: str = "thread", vcpus: int = 2) -> None:
    """A whole migration under the locking audit."""
    whole.migration(design, vcpus)


@scenario(packages=PACKAGES, settings=SETTINGS, detectors=audit)
def locking_on_error(design: str = "thread", vcpus: int = 1) -> None:
    """A migration whose destination dies, under the locking audit."""
    whole.destination_dies(design, vcpus)


@scenario(packages=PACKAGES, settings=SETTINGS, detectors=unordered)
def races(design: str = "thread", vcpus: int = 2) -> None:
    """A whole migration, searched for declared accesses that nothing orders."""
    whole.migration(design, vcpus)
