"""What runs on the machines of `stage3 migrate`, by the name of the guest.

Promises: both processes make the same programs of the same order; a guest that cannot be had is refused
before anything runs; `gone_on` says whether the destination's guest counts on by its own rule.
Assumes: checked options. Does not: compare memory.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from mig.ram import PAGE_SIZE
from mig.vcpu.counting import RESERVED
from mig.vcpu.guests import counting_guest, log_for, make_log
from mig.vcpu.x86 import GuestError
from stress import guests
from stress.migrate_types import MigrateInputError, MigrateOptions
from stress.migration.workloads import Load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mig.dirtylog import MakeLog
    from mig.machine import Machine, MakeProgram
    from mig.vcpu.guests import CountingGuest
    from stress.side_channel import Message

PATIENCE: Final = 10.0
"""Seconds that the guest has at the destination to make a store on every vCPU."""
GLANCE: Final = 0.005
"""Seconds that it runs between two looks."""


class Running(NamedTuple):
    """What `Machine` is told to run, and the guest to be asked afterwards where it counts."""

    programs: Sequence[MakeProgram]
    log: MakeLog
    counting: CountingGuest | None = None

    def close(self) -> None:
        """After the machine."""
        if self.counting is not None:
            self.counting.close()


def running(  # noqa: PLR0917 - an order's values in its order
    kind: str, dirty_log: str, vcpus: int, dirty_rate: int, load: Load | None, pages: int
) -> Running:
    """What runs on one side; `pages` are the guest's. Raises `MigrateInputError`."""
    try:
        if kind == "soft":
            made = guests.programs(vcpus, dirty_rate) if load is None else load.programs()
            return Running(made, make_log(log_for(kind, dirty_log or None)))
        window = max(vcpus, pages // guests.WINDOW)
        if pages < RESERVED + vcpus:
            raise MigrateInputError(
                f"{pages * PAGE_SIZE} bytes of RAM for {vcpus} vCPUs that count; give --ram"
                f" {(RESERVED + vcpus) * PAGE_SIZE} or more"
            )
        guest = counting_guest(kind, vcpus, dirty_rate, log=dirty_log or None, window=window)
    except GuestError as error:
        raise MigrateInputError(str(error)) from None
    return Running(guest.programs, guest.log, guest)


def of_options(options: MigrateOptions, pages: int) -> Running:
    """What the options ask for."""
    kind, log = options.guest, options.dirty_log or ""
    return running(kind, log, options.vcpus, options.dirty_rate, options.load, pages)


def of_order(order: Message) -> Running:
    """What a destination's order asks for; raises `MigrateInputError` and `ChannelError`."""
    text = order.text("load")
    return running(
        order.text("guest"),
        order.text("dirty_log"),
        order.number("vcpus"),
        order.number("dirty_rate"),
        Load.from_text(text) if text else None,
        sum(length for _, length in order.pairs("blocks")) // PAGE_SIZE,
    )


def gone_on(guest: CountingGuest, machine: Machine, before: Sequence[int]) -> tuple[int, list[str]]:
    """Stores made since the counts `before`, and how the guest breaks its rule then; it is left stopped.

    Waits until every vCPU made one, `PATIENCE` at most.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        machine.stop()
        more = [now - then for now, then in zip(guest.counts(machine), before, strict=True)]
        if all(more) or time.monotonic() >= deadline:
            return sum(more) if all(more) else 0, guest.faults(machine)
        machine.start()
        time.sleep(GLANCE)
