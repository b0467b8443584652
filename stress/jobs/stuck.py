"""Which runs hang: a watchdog on each worker, and the judge that asks it.

Promises: a run hangs when its worker's watchdog says so (see `stress.watchdog.sidecar`): nothing in the worker or
below it has moved for the limit, or threads wait that can never go on. The reports lie in the job's folder. A run
that is merely slow is left alone until its time limit, for a CI job must end. Where a watchdog itself fails, stacks
are taken at that limit.
Assumes: one judge for one job; watchdogs end by themselves when their worker does.
"""

from __future__ import annotations

import threading
import traceback
from typing import TYPE_CHECKING, Final

from stress.hang.text import brief
from stress.watchdog.sidecar import Watchdog
from verify.supervise import stacks, trees

if TYPE_CHECKING:
    from pathlib import Path

    from stress.watchdog.sidecar import Hang
    from verify.supervise import Started, Stuck

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
        self.found: dict[int, Hang] = {}
        """By process id of the worker; written by its watchdog's thread, once, before the judge reads it."""
        self._watchdogs: dict[int, Watchdog] = {}
        self._broken: dict[int, str] = {}

    def watch(self, started: Started) -> None:
        """Begin to watch a worker."""
        pid = started.pid
        self.found.pop(pid, None)
        self._broken.pop(pid, None)

        def on_hang(hang: Hang) -> bool:
            self.found[pid] = hang
            return False  # ending the worker is the supervisor's business

        self._watchdogs[pid] = Watchdog(
            pid,
            self.limit_s,
            self.folder,
            kill=False,
            flights=self.flights_of(started.slot),
            on_hang=on_hang,
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
        hang = self.found.get(stuck.pid)
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
            self.found[stuck.pid] = hang
        return hang


def _nothing(line: str) -> None:
    """Keep a watchdog's lines to ourselves: the job says what it found."""
