"""Progress, told from its absence.

Promises: pure bookkeeping; the clock and what was seen come from outside. Progress is any of
- an operation that was recorded and is no refusal or time-out, unless its thread goes round in circles
  with another one (`stress.hang.circles`);
- a process that started or ended;
- a thread that computes and moves: between samples its stack or its variables change.
A thread that computes without moving is given `BUSY_FACTOR` times the limit: one long call into C does
the same.
Does not: look at processes (that is `sidecar`) or find causes (that is `stress.hang`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stress.hang.circles import circles, only_polls

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stress.watchdog.processes import Usage
    from verify.backtraces import ProcessDump
    from verify.observe.snapshot import Entry, Snapshot

__all__ = ["BUSY_FACTOR", "Judge", "Reading"]

BUSY_FACTOR: Final = 10.0
BUSY_SHARE: Final = 0.1
LEAST_SHARE: Final = 0.03
WINDOW: Final = 10_000
"""Operations of a process that are looked at for circles."""
_LEAST_S: Final = 0.05
_MOST_STATES: Final = 1_000


@dataclass(frozen=True, slots=True)
class Reading:
    """One process at one look; `ticks` tells its start, `snapshot` is None where nothing records it."""

    pid: int
    ticks: int
    snapshot: Snapshot | None
    usage: Mapping[int, Usage]


@dataclass(slots=True)
class _Known:
    """What was seen of one process so far."""

    progress: int = 0
    window: deque[Entry] = field(default_factory=lambda: deque(maxlen=WINDOW))
    usage: Mapping[int, Usage] = field(default_factory=dict)
    at: float = 0.0
    shares: dict[int, float] = field(default_factory=dict)
    states: dict[int, set[str]] = field(default_factory=dict)
    moving: set[int] = field(default_factory=set)
    barred: frozenset[int] = frozenset()
    """Kernel ids of threads that make operations without getting anywhere: they count as neither busy nor moving."""


class Judge:
    """Says since when nothing has moved."""

    def __init__(self, now: float) -> None:
        self.since = now
        """When progress was last seen, in seconds of the clock that the looks are given."""
        self.told: set[int] = set()
        """Threads, by kernel id, that a report has told of: except main threads they are neither busy nor moving."""
        self._known: dict[tuple[int, int], _Known] = {}

    def look(self, now: float, readings: list[Reading]) -> None:
        """Take in one look at all processes."""
        keys = {(reading.pid, reading.ticks) for reading in readings}
        if keys != self._known.keys():
            self.since = now
        self._known = {key: self._known.get(key, _Known()) for key in keys}
        for reading in readings:
            known = self._known[reading.pid, reading.ticks]
            if reading.snapshot is not None and self._operations(known, reading.snapshot):
                self.since = now
                known.states.clear()
                known.moving.clear()
            _measure(known, now, reading.usage)

    @staticmethod
    def _operations(known: _Known, snapshot: Snapshot) -> bool:
        """Say whether the new operations of a process are progress."""
        if snapshot.progress == known.progress:
            return False
        fresh = [entry for entry in snapshot.ring if entry.seq >= known.progress]
        known.progress = snapshot.progress
        known.window.extend(fresh)
        going_round = circles(known.window).keys()
        idle = only_polls(fresh) | going_round
        numbers = {thread.slot: thread.native_id for thread in snapshot.threads}
        making = {entry.slot for entry in fresh}  # who makes none any more computes, if it is busy
        known.barred = frozenset(numbers[slot] for slot in idle & making if slot in numbers)
        return any(entry.slot not in idle for entry in fresh)

    def busy(self) -> dict[int, dict[int, float]]:
        """Return the share of the time that each computing thread used, by process and kernel thread id."""
        found: dict[int, dict[int, float]] = {}
        for (pid, _), known in self._known.items():
            threads = {
                native: share
                for native, share in known.shares.items()
                if share >= BUSY_SHARE
                and native not in known.barred
                and (native not in self.told or native == pid)
            }
            if threads:
                found[pid] = threads
        return found

    def sample(self, now: float, dump: ProcessDump) -> bool:
        """Take in a sample of a process with computing threads; return whether one of them has moved.

        A thread moves when its state is one that no earlier sample showed: a loop that computes nothing
        new runs out of states.
        """
        moved = False
        busy = self.busy().get(dump.pid, {})
        for (pid, _), known in self._known.items():
            if pid != dump.pid:
                continue
            for thread in dump.threads:
                native = thread.native_id
                if native is None or native not in busy or not thread.state:
                    continue
                states = known.states.setdefault(native, set())
                fresh = bool(states) and thread.state not in states
                if len(states) < _MOST_STATES:
                    states.add(thread.state)
                (known.moving.add if fresh else known.moving.discard)(native)
                moved = moved or fresh
        if moved:
            self.since = now
        return moved

    def alive(self, now: float) -> None:
        """Begin anew: a diagnosis found nothing wrong, or what hung was reported."""
        self.since = now

    def moving(self) -> frozenset[int]:
        """Return the kernel ids of the threads that moved at the last sample."""
        busy = self.busy()
        return frozenset(
            native
            for (pid, _), known in self._known.items()
            for native in known.moving
            if native in busy.get(pid, {})
        )

    def activity(self) -> dict[int, float]:
        """Return the share of every computing thread, by kernel id."""
        return {
            native: share for threads in self.busy().values() for native, share in threads.items()
        }

    def due(self, now: float, limit_s: float) -> bool:
        """Say whether nothing has moved for `limit_s` seconds, or longer where something computes."""
        factor = BUSY_FACTOR if self.busy() else 1.0
        return now - self.since >= limit_s * factor


def _measure(known: _Known, now: float, usage: Mapping[int, Usage]) -> None:
    """Work out each thread's share of the time since the last look that was long enough ago."""
    passed = now - known.at
    if not known.usage:
        known.usage, known.at = usage, now
    elif passed >= _LEAST_S:
        known.shares = {
            native: _share(known.usage[native], each, passed)
            for native, each in usage.items()
            if native in known.usage
        }
        known.usage, known.at = usage, now


def _share(before: Usage, now: Usage, passed_s: float) -> float:
    """Return the share of the time that a thread computed or wanted to.

    The time it waited for a processor counts only if it computes at all: a thread that wakes up 200 times a
    second to ask for the interpreter lock waits long on a loaded machine, and computes nothing.
    """
    computed = (now.cpu_ns - before.cpu_ns) / 1e9 / passed_s
    if computed < LEAST_SHARE:
        return computed
    return (now.wanted_ns - before.wanted_ns) / 1e9 / passed_s
