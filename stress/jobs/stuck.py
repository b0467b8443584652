"""Which runs hang: a watchdog on each worker, and the judge that asks it.

Promises: a run hangs when its worker's watchdog says so (see `stress.watchdog.sidecar`): nothing in the worker or
below it has moved for the limit, or threads wait that can never go on. The reports lie in the job's folder. A run
that is merely slow is left alone until its time limit, for a CI job must end. Where a watchdog itself fails, stacks
are taken at that limit. A report is charged to the run that it was made in, and to no other.
Assumes: one judge for one job; watchdogs end by themselves when their worker does.
"""

from __future__ import annotations

import threading
import traceback
from typing import TYPE_CHECKING, Final

from stress.hang.text import brief
from stress.watchdog.sidecar import Watchdog
from verify.supervise import Started, Tick, stacks, trees

if TYPE_CHECKING:
    from pathlib import Path

    from stress.watchdog.sidecar import Hang
    from verify.supervise import Ended, Stuck, Task
    from verify.supervise.supervisor import Event

RUN: Final = "run"
"""The note that says on which run a report is."""
PATIENCE_S: Final = 20.0
"""What a report may take that was asked for: dumps of a whole tree."""


class Judge:
    """Watches the workers of one job. `flights` holds a directory of recordings for each place, None without any."""

    def __init__(
        self, limit_s: float, time_limit_s: float, folder: Path, flights: Path | None = None
    ) -> None:
        self.limit_s = limit_s
        self.time_limit_s = time_limit_s
        self.folder = folder
        self.flights = flights
        self._found: dict[int, Hang] = {}
        """By process id of the worker; written by its watchdog's thread. On which run, the report's notes say."""
        self._running: dict[int, int] = {}
        """The number of the run that each worker is at; written by the judge's thread, read by the watchdogs'."""
        self._watchdogs: dict[int, Watchdog] = {}
        self._broken: dict[int, str] = {}

    def see(self, event: Event) -> None:
        """Take an event in: begin to watch a worker that starts, note who is at which run."""
        if isinstance(event, Started):
            self._watch_over(event)
        elif isinstance(event, Tick):
            self._running = {pid: task.number for pid, (task, _) in event.running.items()}

    def ended(self, ended: Ended) -> Hang | None:
        """Take in that a run has ended; return the report on it, None where there is none, and keep it no longer."""
        if ended.resumed:
            return None
        self._running.pop(ended.pid, None)
        hang = self._found.pop(ended.pid, None)
        return hang if hang is not None and _is_on(hang, ended.task) else None

    def _watch_over(self, started: Started) -> None:
        pid = started.pid
        self._found.pop(pid, None)
        self._broken.pop(pid, None)

        def on_hang(hang: Hang) -> bool:
            self._found[pid] = hang
            return False  # ending the worker is the supervisor's business

        self._watchdogs[pid] = Watchdog(
            pid,
            self.limit_s,
            self.folder,
            kill=False,
            flights=self.flights_of(started.slot),
            on_hang=on_hang,
            notes=lambda: self._notes(pid),
            say=_nothing,
        )
        name = f"watchdog of {pid}"
        threading.Thread(target=self._watch, args=(pid,), name=name, daemon=True).start()

    def _watch(self, pid: int) -> None:
        try:
            self._watchdogs[pid].run()
        except Exception:  # noqa: BLE001 - the job goes on, and the judge says so
            self._broken[pid] = traceback.format_exc()
        finally:
            self._watchdogs.pop(pid, None)

    def flights_of(self, slot: int) -> Path | None:
        """Return the directory that the worker in place `slot` records into."""
        return self.flights / str(slot) if self.flights is not None else None

    def __call__(self, stuck: Stuck) -> str | None:
        """Return a line for a run that hangs, None for one that may get on."""
        self._running[stuck.pid] = stuck.task.number
        hang = self._found.get(stuck.pid)
        if hang is not None and not _is_on(hang, stuck.task):
            # 1. A run stands still. 2. The watchdog begins a report. 3. The run goes on and ends, another begins.
            hang = None
        if hang is None and stuck.seconds >= self.time_limit_s:
            hang = self._demand(stuck)
        if hang is not None:
            return f"{hang.report.headline}: {brief(hang.report)}\n"
        if stuck.seconds < self.time_limit_s:
            return None
        pids = [stuck.pid, *trees.descendants(stuck.pid)]
        dumps = [f"process {pid}:\n{stacks.dump(pid)}" for pid in pids]
        broken = self._broken.get(stuck.pid, "it gave no answer")
        return "\n".join([*dumps, f"internal error in stage3: its watchdog failed:\n{broken}"])

    def _demand(self, stuck: Stuck) -> Hang | None:
        """Have the watchdog report a run that is over its time limit, whatever it thinks of it."""
        watchdog = self._watchdogs.get(stuck.pid)
        if watchdog is None or stuck.pid in self._broken:
            return None
        headline = f"not finished after {stuck.seconds:.1f} s"
        hang = watchdog.report_now(headline, PATIENCE_S)
        if hang is not None:
            self._found[stuck.pid] = hang
        return hang

    def _notes(self, pid: int) -> dict[str, str]:
        """For the watchdog: which run its worker is at. Another one is progress, and has a limit of its own."""
        number = self._running.get(pid)
        return {} if number is None else {RUN: str(number)}


def _is_on(hang: Hang, task: Task) -> bool:
    return hang.report.notes.get(RUN) == str(task.number)


def _nothing(line: str) -> None:
    """Keep a watchdog's lines to ourselves: the job says what it found."""
