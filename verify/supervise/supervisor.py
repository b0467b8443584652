"""The supervisor: hands tasks to worker processes, and goes on when one crashes, exits or hangs.

Promises: every task drawn ends exactly once, in one of the fates, unless the run is stopped; a
lost worker costs the one task that was under way, which is named with what happened, and the rest
of its batch goes to others; no task is tried twice. Workers, and what they started, are gone when `run`
returns or raises.
Assumes: Linux; `run` is called from one thread and lives as long as its workers.
Does not: run anything in its own process, so nothing a task does can stop it.
"""

from __future__ import annotations

import itertools
import selectors
import tempfile
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from verify import _real
from verify.abc import UsageError
from verify.supervise import stacks, wire
from verify.supervise.process import Worker, how_it_ended
from verify.supervise.values import (
    Ended,
    Fate,
    Started,
    Stuck,
    Summary,
    Task,
    Tick,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from verify.supervise.journal import Journal
    from verify.supervise.values import Json

    Judge = Callable[[Stuck], str | None]

Event: TypeAlias = "Started | Ended | Tick"

WORKERS: Final = 2
POLL_S: Final = 0.25
START_LIMIT_S: Final = 60.0
FAILED_STARTS: Final = 3
"""So many workers in a row that end before they are ready mean that none ever will be."""
END_WAIT_S: Final = 5.0
GRACE_S: Final = 1.0
"""How long a judge that sees progress is not asked again."""


class WorkerError(Exception):
    """Workers cannot be started; the text holds what the last one printed."""


def dump(stuck: Stuck) -> str:
    """The judge of a run that names none: whoever is over the limit is hung, and these are its stacks."""
    return stacks.dump(stuck.pid)


def run(
    tasks: Iterable[Task],
    worker: str,
    *,
    options: Mapping[str, Json] | None = None,
    workers: int = WORKERS,
    batch: int = 1,
    heartbeat_s: float = 10.0,
    limit_s: float | None = None,
    ttl_s: float | None = None,
    seconds: float | None = None,
    journal: Journal | None = None,
    stop_on: Collection[Fate] = (),
    on_event: Callable[[Event], None] | None = None,
    judge: Judge = dump,
    environment: Callable[[int], Mapping[str, str]] | None = None,
    interrupted: Callable[[], bool] | None = None,
    enough: Callable[[], bool] | None = None,
    on_lost: Callable[[Ended], Ended] | None = None,
) -> Summary:
    """Run `tasks` in `workers` processes by `worker`, "module:function"; see `verify.supervise.worker`.

    Tasks are handed out `batch` at a time. A worker that says nothing for `heartbeat_s` (0: never mind), or whose
    task takes more than `limit_s`, is put before `judge`: text means that it hangs, None that it is to be asked
    again later. After `ttl_s` a worker is replaced between two batches. After `seconds` no further task is begun.
    A fate in `stop_on` stops everything at once. `environment` is asked for that of a worker before each is started
    in a place from 0 to `workers` - 1; without it workers have this process's own. `interrupted` is asked at every
    turn: a keyboard interrupt that arrived in a finalizer was dropped there, and is raised again then. `enough`, asked
    as often, stops everything at once. `on_lost` may say more of a task that cost its worker, before the journal
    gets it.

    Raises `UsageError` when a worker refuses what it is given, `WorkerError` when none can be started.
    """
    supervisor = _Supervisor(
        {"target": worker, "options": dict(options or {}), "heartbeat_s": heartbeat_s},
        _Rules(
            max(1, batch),
            heartbeat_s,
            limit_s,
            ttl_s,
            frozenset(stop_on),
            judge,
            interrupted or _never,
            enough or _never,
            on_lost or _as_it_is,
        ),
        journal,
        on_event or _nothing,
        environment,
    )
    return supervisor.run(tasks, workers, seconds)


def _never() -> bool:
    """Say no: nobody has interrupted, it is not enough."""
    return False


def _as_it_is(ended: Ended) -> Ended:
    """Add nothing."""
    return ended


def _nothing(event: Event) -> None:
    """Listen to nothing."""


@dataclass(frozen=True, slots=True)
class _Rules:
    batch: int
    heartbeat_s: float
    limit_s: float | None
    ttl_s: float | None
    stop_on: frozenset[Fate]
    judge: Judge
    interrupted: Callable[[], bool]
    enough: Callable[[], bool]
    on_lost: Callable[[Ended], Ended]


class _Supervisor:
    def __init__(
        self,
        order: Mapping[str, Json],
        rules: _Rules,
        journal: Journal | None,
        on_event: Callable[[Event], None],
        environment: Callable[[int], Mapping[str, str]] | None,
    ) -> None:
        self.order = order
        self.rules = rules
        self.journal = journal
        self.on_event = on_event
        self.environment = environment
        self.summary = Summary()
        self.at_work: dict[int, Worker] = {}
        self.leaving: list[Worker] = []
        self.again: deque[Task] = deque()
        self.failed_starts = 0
        self.selector = _real.DefaultSelector()
        self.deadline: float | None = None
        self.last_look = _real.monotonic()

    def run(self, tasks: Iterable[Task], workers: int, seconds: float | None) -> Summary:
        began = _real.monotonic()
        self.deadline = None if seconds is None else began + seconds
        try:
            with tempfile.TemporaryDirectory(prefix="stage3-") as place:
                try:
                    self._recall()
                    self._loop(self._left(tasks), workers, Path(place))
                finally:
                    self._end_all()
        finally:
            self.selector.close()
        self.summary.seconds = _real.monotonic() - began
        return self.summary

    def _recall(self) -> None:
        for ended in self.journal.ended.values() if self.journal is not None else ():
            self.summary.add(ended)
            self.on_event(ended)

    def _left(self, tasks: Iterable[Task]) -> Iterable[Task]:
        known = self.journal.ended if self.journal is not None else {}
        return (task for task in tasks if task.number not in known)

    def _loop(self, tasks: Iterable[Task], workers: int, place: Path) -> None:
        source = iter(tasks)
        names = itertools.count()
        while not self.summary.stopped:
            if self.rules.interrupted():
                raise KeyboardInterrupt
            if self.rules.enough():
                self.summary.stopped = "enough"
                return
            self._hand_out(source, workers, place, names)
            if not self.at_work:
                return
            for key, _ in self.selector.select(POLL_S):
                pid: int = key.data
                if pid in self.at_work and not self.summary.stopped:
                    self._listen(self.at_work[pid])
            self._look_around()

    def _draw(self, source: Iterable[Task]) -> list[Task]:
        if self.deadline is not None and _real.monotonic() >= self.deadline:
            self.summary.stopped = self.summary.stopped or ("time" if not self.at_work else "")
            return []
        drawn = [self.again.popleft() for _ in range(min(self.rules.batch, len(self.again)))]
        return drawn + list(itertools.islice(source, self.rules.batch - len(drawn)))

    def _hand_out(
        self, source: Iterable[Task], workers: int, place: Path, names: itertools.count[int]
    ) -> None:
        """Give every idle place a batch, and a worker where it has none."""
        for one in [one for one in self.at_work.values() if one.ready and not one.tasks]:
            tasks = self._draw(source)
            if tasks and self._too_old(one):
                self.again.extendleft(reversed(tasks))
                tasks = []
            if not tasks:
                self._dismiss(one)
            elif not one.give(tasks):
                self._lose(one, Fate.EXITED, "does not take its tasks")
        free = set(range(workers)) - {one.slot for one in self.at_work.values()}
        for slot in sorted(free):
            tasks = self._draw(source)
            if not tasks:
                return
            environment = self.environment(slot) if self.environment is not None else None
            one = Worker(slot, self.order, place / str(next(names)), environment)
            one.tasks.extend(tasks)
            self.at_work[one.pid] = one
            self.selector.register(one.sock, selectors.EVENT_READ, one.pid)
            self.selector.register(one.pidfd, selectors.EVENT_READ, one.pid)
            self.summary.workers += 1
            self.on_event(Started(slot, one.pid))

    def _too_old(self, one: Worker) -> bool:
        return self.rules.ttl_s is not None and _real.monotonic() - one.born > self.rules.ttl_s

    def _dismiss(self, one: Worker) -> None:
        self._forget(one)
        one.since = _real.monotonic()
        one.dismiss()
        self.leaving.append(one)

    def _forget(self, one: Worker) -> None:
        self.selector.unregister(one.sock)
        self.selector.unregister(one.pidfd)
        del self.at_work[one.pid]

    def _listen(self, one: Worker) -> None:
        """Take in what a worker says, and its end."""
        try:
            if not self._hear(one):
                return
            code = one.ended()
            # 1. We hear everything. 2. The worker sends a result and ends. 3. We see the end: hear again.
            if code is not None and not self._hear(one):
                return
        except wire.BadMessageError as error:
            self._lose(one, Fate.EXITED, f"sent {error} to its supervisor and was killed")
            return
        except EOFError:
            code = one.ended(END_WAIT_S)
            if code is None:
                self._lose(
                    one, Fate.EXITED, "closed the connection to its supervisor and was killed"
                )
                return
        if code is not None:
            by_signal, words = how_it_ended(code)
            self._lose(one, Fate.CRASHED if by_signal else Fate.EXITED, words)

    def _hear(self, one: Worker) -> bool:
        """Take in every message there is; return False when the worker is no longer ours, or the run stops."""
        for message in one.hear():
            self._take(one, message)
            if one.pid not in self.at_work or self.summary.stopped:
                return False
        return True

    def _take(self, one: Worker, message: Mapping[str, Json]) -> None:
        if "refused" in message:
            raise UsageError(str(message["refused"]))
        if "ready" in message:
            self.failed_starts = 0
            one.ready = True
            first, one.tasks = list(one.tasks), deque()
            if not one.give(first):
                self._lose(one, Fate.EXITED, "does not take its tasks")
        elif "number" in message:
            self._result(one, message)

    def _result(self, one: Worker, message: Mapping[str, Json]) -> None:
        fate, seconds = message.get("fate"), message.get("seconds")
        expected = one.tasks[0].number if one.tasks else None
        if (
            message["number"] != expected
            or all(fate != each for each in Fate)
            or not isinstance(seconds, float)
        ):
            raise wire.BadMessageError(
                f"a result that nobody waits for: {ascii(dict(message))[:80]}"
            )
        ended = Ended(
            one.tasks.popleft(),
            Fate(str(fate)),
            str(message.get("message", "")),
            message.get("value"),
            seconds,
            one.pid,
            str(message.get("stdout", "")),
            str(message.get("stderr", "")),
            earlier=one.done,
        )
        one.done += 1
        one.since = _real.monotonic()
        one.asked = 0.0
        if message.get("retire"):
            self._release(one)
        self._end(ended)

    def _release(self, one: Worker) -> None:
        """Kill a worker and give the rest of its batch to others."""
        self._forget(one)
        one.kill()
        self.again.extendleft(reversed(one.tasks))
        one.tasks.clear()

    def _end(self, ended: Ended) -> None:
        self.summary.add(ended)
        if self.journal is not None:
            self.journal.write(ended)
        self.on_event(ended)
        if ended.fate in self.rules.stop_on:
            self.summary.stopped = "first failure"

    def _lose(self, one: Worker, fate: Fate, words: str, report: str = "") -> None:
        """A worker is gone, or has to go: name the task that was under way, and go on without it."""
        now = _real.monotonic()
        stdout, stderr = one.output()
        if not one.ready:
            self._failed_start(one, words, stderr + report)
            return
        if not one.tasks:
            self._release(one)
            return
        task = one.tasks.popleft()
        self._release(one)
        message = f"the worker {words}"
        seconds = now - one.since
        ended = Ended(task, fate, message, None, seconds, one.pid, stdout, stderr, report, one.done)
        self._end(self.rules.on_lost(ended))

    def _failed_start(self, one: Worker, words: str, stderr: str) -> None:
        self._release(one)
        self.failed_starts += 1
        if self.failed_starts >= FAILED_STARTS:
            raise WorkerError(
                f"{self.failed_starts} workers in a row {words} before they were ready; the last one printed:\n"
                f"{stderr.strip() or '(nothing)'}"
            )

    def _look_around(self) -> None:
        """Find workers that hang. Our own absence is not a worker's silence."""
        now = _real.monotonic()
        away = now - self.last_look > max(1.0, self.rules.heartbeat_s / 2)
        self.last_look = now
        for one in list(self.at_work.values()):
            if self.summary.stopped:
                return
            if away:
                one.heard = now
            self._check(one, now)
        self.leaving = [one for one in self.leaving if not self._gone(one)]
        self.on_event(
            Tick(
                {
                    w.pid: (w.tasks[0], now - w.since)
                    for w in self.at_work.values()
                    if w.ready and w.tasks
                }
            )
        )

    def _gone(self, one: Worker) -> bool:
        if one.ended() is None and _real.monotonic() - one.since < END_WAIT_S:
            return False
        one.bury(0)
        return True

    def _check(self, one: Worker, now: float) -> None:
        if not one.ready:
            if now - one.born > START_LIMIT_S:
                words = f"were stopped after {START_LIMIT_S:g} s"
                self._lose(one, Fate.HUNG, words, stacks.dump(one.pid))
            return
        if not one.tasks or now < one.asked:
            return
        silent = 0 < self.rules.heartbeat_s < now - one.heard
        if not silent and (self.rules.limit_s is None or now - one.since <= self.rules.limit_s):
            return
        seconds = now - (one.heard if silent else one.since)
        report = self.rules.judge(Stuck(one.pid, one.tasks[0], seconds, silent))
        if report is None:
            one.asked = _real.monotonic() + GRACE_S
        else:
            what = "gave no sign of life for" if silent else "was at one task for"
            self._lose(one, Fate.HUNG, f"{what} {seconds:.1f} s and was killed", report)
        self.last_look = _real.monotonic()  # the judge's time is ours, too

    def _end_all(self) -> None:
        for one in list(self.at_work.values()):
            self.summary.unfinished += list(one.tasks)[: one.ready]
            self._release(one)
        patience = _real.monotonic() + END_WAIT_S
        for one in self.leaving:
            one.bury(max(0.01, patience - _real.monotonic()))
