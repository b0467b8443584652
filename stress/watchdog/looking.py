"""What the sidecar sees of a process tree: processes, recordings, samples and dumps.

Promises: whatever cannot be read is left out or becomes a sentence; nothing here raises because a process
ended. A recording belongs to a process only if pid and start time fit: pids are used again.
Assumes: recordings are named `flight-PID-TICKS.s3f`, ticks being the process's start.
"""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple

from stress.watchdog import processes
from stress.watchdog.judging import Reading
from verify.backtraces import ProcessDump, collect
from verify.observe import flight

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from stress.watchdog.processes import Process
    from verify.observe.snapshot import Snapshot

__all__ = ["Sight", "describe", "dumps", "listed", "look"]

_NAME: Final = re.compile(r"flight-(\d{1,10})-(\d{1,20})\.s3f")
_AT_ONCE: Final = 4
"""Dumps taken at the same time: each stops one process, and two cores are shared with the program."""
MOST_PROCESSES: Final = 200


class Sight(NamedTuple):
    """One look at the tree: its processes, parents first, and what is read of each."""

    processes: tuple[Process, ...]
    readings: list[Reading]
    problems: tuple[str, ...]

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """The recordings of the processes that have one."""
        return tuple(each.snapshot for each in self.readings if each.snapshot is not None)


def listed(root: int, flights: Path | None) -> tuple[Process, ...]:
    """Return process `root`, its descendants, and those that left it but record into `flights`; parents first."""
    return _listed(root, _recordings(flights))


def _listed(root: int, recordings: Iterable[tuple[int, int]]) -> tuple[Process, ...]:
    found = list(processes.tree(root, without=os.getpid()))[:MOST_PROCESSES]
    known = {process.pid for process in found}
    for pid, ticks in recordings:
        if pid not in known and len(found) < MOST_PROCESSES:
            process = processes.one(pid)
            if process is not None and process.ticks == ticks and process.state not in "ZX":
                found.append(process)
    return tuple(found)


def look(root: int, flights: Path | None) -> Sight:
    """Look at process `root`, its descendants, and those that left it but record into `flights`."""
    recordings = _recordings(flights)
    seen = _listed(root, recordings)
    readings: list[Reading] = []
    problems: list[str] = []
    for process in seen:
        snapshot = None
        path = recordings.get((process.pid, process.ticks))
        if path is not None:
            try:
                snapshot = flight.read(path)
            except flight.FlightError as error:
                problems.append(str(error))
        if snapshot is not None and not snapshot.recorded:
            snapshot = None  # it stopped recording: what it says is of the past
        usage = processes.usage(process.pid)
        readings.append(Reading(process.pid, process.ticks, snapshot, usage))
    return Sight(seen, readings, tuple(problems))


def _recordings(flights: Path | None) -> dict[tuple[int, int], Path]:
    found: dict[tuple[int, int], Path] = {}
    if flights is None:
        return found
    try:
        for path in flights.iterdir():
            name = _NAME.fullmatch(path.name)
            if name is not None:
                found[int(name.group(1)), int(name.group(2))] = path
    except OSError:
        pass  # not made yet
    return found


def dumps(sight: Sight) -> tuple[ProcessDump, ...]:
    """Return the stacks of every Python process of the tree, parents first."""
    recorded = {snapshot.pid for snapshot in sight.snapshots}
    pids = [
        process.pid
        for process in sight.processes
        if process.pid in recorded or processes.is_python(process.pid)
    ]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(pool.map(collect, pids))


def describe(sight: Sight) -> str:
    """Return one line for each process: pid, parent, state, command."""
    return "\n".join(
        f"{process.pid} (of {process.ppid}) {process.state} {' '.join(processes.command(process.pid))[:500]}"
        for process in sight.processes
    )
