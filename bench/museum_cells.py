"""The cells of the museum's kill matrix: one defect, one way of looking for it.

Promises: every way gets the defect's scenario, a budget in seconds and nothing else. A cell is plain values.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from bench.museum_seeding import NAME
from mig import locks
from stress import cli as _all_of_it  # noqa: F401 - what is imported belongs to a program's text: as for the command
from stress.hunt_text import HANGS
from stress.migration import defects, exhibits, pieces
from stress.migration.scenarios import LOCK_FREE
from traces import token as tokens
from verify.detectors import LockOrder, Race, default_detectors
from verify.explore import explore, replay
from verify.strategies import STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from stress.migration.defects import Defect
    from verify.abc import Detector

ONE_BY_ONE: Final = tuple(name for name in STRATEGIES if name != "portfolio")
LOCK_ORDER, RACE, THREADS, PROPERTIES, HEALTHY = (
    "lock order",
    "race",
    "real threads",
    "properties",
    "healthy",
)
COLUMNS: Final = ("portfolio", HEALTHY, *ONE_BY_ONE, LOCK_ORDER, RACE, THREADS, PROPERTIES)
REPLAYS: Final = 100
STILL_S: Final = 8.0
"""Seconds without a run of a scenario on real threads after which it hangs."""
HANG: Final = "hang"
HEALTHY_EXECUTIONS: Final = 400
PROPERTY_TESTS: Final = (
    "test_bitmap.py", "test_channel.py", "test_dirty_logs.py", "test_dirtylog.py", "test_page_cache.py", "test_ram.py",
    "test_ram_load.py", "test_ram_save.py", "test_soft.py", "test_xbzrle.py",
)  # fmt: skip


@dataclass(frozen=True)
class Job:
    """One cell: `digest` is that of the program, so that another text is another cell."""

    defect: str
    digest: str
    column: str
    seed: int
    seconds: float


@dataclass(frozen=True)
class Cell:
    """What came of it.

    `found`; `right`: the class is the defect's; `first`: executions to the first find, 0 without one; `first_s`:
    seconds to it; `executions` in all; `cause` as found; `replays`: identical ones of `REPLAYS`, -1: none made.
    """

    found: bool
    right: bool
    first: int
    first_s: float
    executions: int
    cause: str
    replays: int = -1


def run(job: Job) -> Cell:
    """Fill one cell."""
    defect = defects.find(job.defect)
    ways: dict[str, Callable[[Defect, Job], Cell]] = {
        LOCK_ORDER: _lock_order,
        RACE: _race,
        THREADS: _threads,
        PROPERTIES: _properties,
        HEALTHY: _healthy,
    }
    return ways.get(job.column, _search)(defect, job)


def _search(defect: Defect, job: Job) -> Cell:
    state = pieces.hunt(defect, job.column, seed=job.seed, executions=10**9, seconds=job.seconds)
    group, right = pieces.first(defect, state)
    if group is None:
        return Cell(
            found=False, right=False, first=0, first_s=0.0, executions=state.executions, cause=""
        )
    replays = -1
    if job.column == "portfolio":
        runs = replay(
            pieces.program(defect), tokens.decode(group.token), trace=group.trace, times=REPLAYS
        )
        replays = sum(each.identical for each in runs)
    return Cell(
        found=True,
        right=right,
        first=group.first,
        first_s=round(group.first_s, 3),
        executions=state.executions,
        cause=group.finding.cause,
        replays=replays,
    )


def _alone(defect: Defect, job: Job, cause: str, detectors: Callable[[], list[Detector]]) -> Cell:
    """Random schedules with one detector beside those that end a run; only its own findings count."""
    program = replace(pieces.program(defect), detectors=detectors)
    state = explore(
        program,
        STRATEGIES["random"](job.seed),
        executions=10**9,
        seconds=job.seconds / 2,
        confirming=False,
    )
    mine = [
        each
        for each in (*state.groups.values(), *state.notes.values())
        if each.finding.cause == cause
    ]
    first = min(mine, key=lambda group: group.first, default=None)
    return Cell(
        found=first is not None,
        right=first is not None and defect.cause == cause,
        first=first.first if first else 0,
        first_s=round(first.first_s, 3) if first else 0.0,
        executions=state.executions,
        cause=cause if first else "",
    )


def _lock_order(defect: Defect, job: Job) -> Cell:
    def judges() -> list[Detector]:
        return [LockOrder([*locks.ORDER, *locks.LEAVES]), *default_detectors()]

    return _alone(defect, job, "lock order", judges)


def _race(defect: Defect, job: Job) -> Cell:
    return _alone(defect, job, "data race", lambda: [Race(ignore=LOCK_FREE), *default_detectors()])


def _healthy(defect: Defect, job: Job) -> Cell:
    """The same scenario without the defect, under control and on real threads: whatever is found is a false alarm."""
    state = explore(
        pieces.program(defect, fixed=True),
        STRATEGIES["portfolio"](job.seed),
        executions=HEALTHY_EXECUTIONS,
    )
    first = min(state.groups.values(), key=lambda group: group.first, default=None)
    if first is None:
        cell = _on_threads(defect, job, fixed=True)
        return replace(cell, right=False, executions=cell.executions + state.executions)
    cause = f"{first.finding.cause}: {first.finding.message}"
    return Cell(
        found=True,
        right=False,
        first=first.first,
        first_s=first.first_s,
        executions=state.executions,
        cause=cause,
    )


def _threads(defect: Defect, job: Job) -> Cell:
    """The scenario on real threads, with the class judged by what the failure says."""
    cell = _on_threads(defect, job)
    hangs = cell.cause == HANG and defect.cause in HANGS
    words = (defect.word, *(word for _, word in defect.also))
    return replace(cell, right=hangs or any(word in cell.cause for word in words))


def _on_threads(defect: Defect, job: Job, *, fixed: bool = False) -> Cell:
    """The scenario on real threads, over and over, in a process of its own; one that stands still hangs."""
    begin = time.monotonic()
    words = [defect.ids[0], str(job.seconds), str(int(fixed))]
    command = [sys.executable, "-m", "bench.museum_threads", *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        runs, cause = _follow(child)
        child.kill()
    return Cell(
        found=bool(cause),
        right=False,
        first=runs if cause else 0,
        first_s=round(time.monotonic() - begin, 3) if cause else 0.0,
        executions=runs,
        cause=cause,
    )


def _follow(child: subprocess.Popen[str]) -> tuple[int, str]:
    """Count the child's runs until it says how one failed, ends, or says nothing for too long."""
    runs = 0
    assert child.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        while selector.select(STILL_S if runs else 10 * STILL_S):
            line = child.stdout.readline()
            if not line:
                return runs, ""
            runs += 1
            if line.startswith("failed: "):
                return runs, line.removeprefix("failed: ").strip()
    return runs + 1, HANG


def _properties(defect: Defect, job: Job) -> Cell:
    """The engine's own unit and property tests, with the defect in the engine; a design cannot be put under them."""
    if not defect.steps:
        return Cell(found=False, right=False, first=0, first_s=0.0, executions=0, cause="")
    begin = time.monotonic()
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        "-p",
        "bench.museum_seeding",
    ]
    command += ["--timeout=20", *(f"tests/mig/{name}" for name in PROPERTY_TESTS)]
    environment = {**os.environ, NAME: defect.ids[0]}
    try:
        code = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            timeout=60 + 10 * job.seconds,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        code = 1
    took = round(time.monotonic() - begin, 3)
    found = code != 0
    return Cell(
        found=found,
        right=found,
        first=int(found),
        first_s=took if found else 0.0,
        executions=1,
        cause="",
    )


def digest(defect: Defect) -> str:
    """The digest of a defect's program."""
    return pieces.program(defect).digest


def target(defect: Defect) -> str:
    """What the command line calls it."""
    return exhibits.target(defect)
