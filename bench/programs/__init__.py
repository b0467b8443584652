"""Benchmark programs with known faults, their corrected twins, and what others have published on them.

`PROGRAMS` lists them. `kind` says what is to be expected: a `fault` that some schedules show, one
that every schedule shows (`always`: a check of sanity, left out of scores), or none (`sound`).
`published` are means of schedules to the first failure with points at shared accesses and
synchronisation, 20 trials, at most 10,000 schedules (Zhao, Wolff, Mathur, Roychoudhury, ASPLOS 2025, table of results):
RW, PCT3, POS, URW, SURW; 0 stands for never, None for not run. `modelled` are means of an abstract
model of the same descriptions, 40 seeds: RW, PCT3, POS, URW.

Too large to be written from a description, and left out: streamcluster, the radbench programs, ferret.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from bench.programs import liveness, locked, racy
from verify import Settings
from verify.program import of_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.program import Program

FAULT, ALWAYS, SOUND = "fault", "always", "sound"
Means = tuple[float | None, ...]


@dataclass(frozen=True)
class Entry:
    """One program: a name, what runs, and what is known of it."""

    name: str
    body: Callable[[], None]
    kind: str = FAULT
    published: Means = ()
    modelled: Means = ()

    @property
    def program(self) -> Program:
        """The program as the search takes it, at the default granularity."""
        made = of_code(self.body, f"bench.programs:{self.name}", ("bench.programs",))
        settings = Settings(max_steps=5000, fair_steps=5000, granularity="auto")
        return replace(made, settings=settings, asked=True)


PROGRAMS: tuple[Entry, ...] = (
    Entry("stringbuffer", racy.stringbuffer, FAULT, (2243, 281, 23, 834, 8), (16, 77, 10, 7)),
    Entry("account", locked.account, FAULT, (18, 4, 4, 3, 6), (10, 6, 7, 4)),
    Entry(
        "bluetooth_driver",
        racy.bluetooth_driver,
        FAULT,
        (215, 112, 36, 1494, 70),
        (38, 19, 22, 28),
    ),
    Entry("carter01", locked.carter01, FAULT, (1, 5, 2, None, None), (2, 2, 2, 1)),
    Entry("circular_buffer", locked.circular_buffer, FAULT, (4, 9, 2, 14, 3)),
    Entry("deadlock01", locked.deadlock01, FAULT, (3, 13, 4, 3, 2), (2, 5, 5, 2)),
    Entry("lazy01", locked.lazy01, FAULT, (21, 5, 5, 4, 2), (10, 6, 7, 4)),
    Entry("queue", locked.queue, FAULT, (1, 3, 1, 2, 2), (1, 7, 1, 1)),
    Entry("reorder_3", partial(racy.reorder, 3), FAULT, (0, 185, 86, 24, 7), (50, 18, 12, 11)),
    Entry("reorder_4", partial(racy.reorder, 4), FAULT, (0, 554, 533, 22, 7), (113, 30, 28, 12)),
    Entry("reorder_5", partial(racy.reorder, 5), FAULT, (0, 647, 2169, 27, 10), (760, 98, 82, 24)),
    Entry("reorder_10", partial(racy.reorder, 10), FAULT, (0, 3225, 0, 74, 17), (0, 588, 1580, 68)),
    Entry("reorder_20", partial(racy.reorder, 20), FAULT, (0, 3005, 0, 10, 6)),
    Entry("reorder_50", partial(racy.reorder, 50), FAULT, (0, 3304, 0, 75, 13)),
    Entry("reorder_100", partial(racy.reorder, 100), FAULT, (0, 0, 0, 3785, 194)),
    Entry("stack", locked.stack, FAULT, (176, 3, 2, 986, 5), (2, 2, 2, 1)),
    Entry("token_ring", locked.token_ring, FAULT, (13, 8, 9, 9, 8), (7, 5, 6, 5)),
    Entry("twostage", locked.twostage, FAULT, (464, 13, 15, 9, 8), (44, 5, 11, 214)),
    Entry(
        "twostage_20",
        partial(locked.twostage, 19),
        FAULT,
        (0, 159, 156, 24, 6),
        (0, 700, 828, 431),
    ),
    Entry("twostage_50", partial(locked.twostage, 49), FAULT, (0, 1676, 1637, 93, 20)),
    Entry("twostage_100", partial(locked.twostage, 99), FAULT, (0, 7466, 6674, 2992, 454)),
    Entry("wronglock", partial(racy.wronglock, 7), FAULT, (36, 51, 10, 4, 7)),
    Entry("wronglock_3", partial(racy.wronglock, 3), FAULT, (36, 58, 11, 5, 9), (3, 7, 3, 4)),
    Entry(
        "work_steal_queue", racy.work_steal_queue, FAULT, (None, 48, 12, 13, 6), (158, 12, 27, 4)
    ),
    Entry("ctrace", racy.ctrace, FAULT, (1, 2, 1, None, None)),
    Entry("aget", racy.aget),
    Entry("pbzip2", racy.pbzip2),
    Entry("splash2", racy.barrier_left_out),
    Entry("safestack", racy.safestack, FAULT, (0, 0, 0, 0, 368921)),
    Entry("philosophers_3", partial(locked.philosophers, 3), FAULT, (), (7, 26, 9, 3)),
    Entry("philosophers_5", partial(locked.philosophers, 5), FAULT, (), (37, 554, 49, 6)),
    Entry("philosophers_10", partial(locked.philosophers, 10), FAULT, (), (1220, 0, 1162, 26)),
    Entry("peterson_late", liveness.peterson_late),
    Entry("arithmetic_prog", locked.arithmetic_prog, ALWAYS),
    Entry("philosophers_sat", partial(locked.philosophers_sat, 3), ALWAYS),
    Entry("fsbench", locked.fsbench, ALWAYS),
    Entry("phase01", locked.phase01, ALWAYS),
    Entry("sync01", locked.sync01, ALWAYS),
    Entry("sync02", locked.sync02, ALWAYS),
    Entry("spin_never", liveness.spin_never, ALWAYS),
    Entry("spin_good", liveness.spin_good, SOUND),
    Entry("philosophers_try", liveness.philosophers_try, SOUND),
    Entry("peterson", liveness.peterson, SOUND),
    Entry("deadlock01_ordered", locked.deadlock01_ordered, SOUND),
    Entry("twostage_fixed", locked.twostage_fixed, SOUND),
    Entry("bluetooth_fixed", racy.bluetooth_fixed, SOUND),
    Entry("wronglock_fixed", racy.wronglock_fixed, SOUND),
    Entry("work_steal_queue_fixed", partial(racy.work_steal_queue, 0), SOUND),
)
BY_NAME = {entry.name: entry for entry in PROGRAMS}
