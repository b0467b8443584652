"""The sidecar: a process of its own that watches a process tree, reports a hang, and ends it.

Promises: `Watchdog.run` looks every tenth of the limit (at least four times a second, more seldom where a look takes
long: at most a third of the time goes into looks), and notices that nothing has moved for `limit_s` seconds, in a child
of a child too, and while the interpreter lock is held for ever; threads that can never go on by
the recording alone are reported after the limit even while others work. It writes `hang-PID.txt`, `.json`
and `.html` into `directory`, then kills the tree or leaves it, as told. A program that is merely slow is
left alone.
Assumes: Linux; a recording (`verify.observe`) for names of locks and holders, else stacks alone; the right to
look at the processes.
Does not: run anything inside the program.
"""

from __future__ import annotations

import contextlib
import math
import queue
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO, Final, NamedTuple

from stress.hang import certain, diagnose, sources
from stress.hang.text import brief
from stress.watchdog import ending, looking, processes, writing
from stress.watchdog.counter import EXIT_HANG
from stress.watchdog.judging import Judge
from verify.backtraces import ProcessDump, faults
from verify.backtraces.collecting import sample

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from stress.hang import HangReport
    from stress.watchdog.looking import Sight
    from stress.watchdog.writing import Written
    from verify.observe.snapshot import Snapshot

__all__ = ["Hang", "Outcome", "StartError", "Watchdog"]

ASKED_S: Final = 0.4
"""Patience of a report that is asked for: whoever asks has waited long enough."""
STILL_S: Final = 0.2
"""Without an operation for so long a process is still enough for a dump from inside."""
GRACE_S: Final = 2.0
"""How long a command may take to end by itself when its watch is broken off."""
LONGEST_LOOK_S: Final = 0.25
"""Between looks at most, whatever the limit; a tenth of a shorter one. After a long look the pause is longer."""


class Hang(NamedTuple):
    """A hang that was reported, and its files."""

    report: HangReport
    written: Written


class Outcome(NamedTuple):
    """How the watch ended: `code` is the exit code to end with, `hangs` what was reported on the way."""

    code: int
    hangs: tuple[Hang, ...]
    killed: bool


class StartError(OSError):
    """The command to watch cannot be started."""


class Watchdog:
    """Watches a command that it starts, or a process that runs already.

    `limit_s` is how long nothing may move, in seconds; `time_limit_s` how long the whole may take, None for
    no limit. `kill` ends the tree after a report (default: only what was started here; what was not and is left alone
    is watched no more). `flights` is the
    directory in which the processes record; `environment` and `stdout`, an open file, are the command's (default:
    those of this process). `on_hang`, where given, is called after a report was written
    and says whether to kill; `idle` says whether the target has nothing to do just now, so that standing still
    is no hang; `notes` are put into a report. `progress`, where given, is the target's own measure, and alone decides:
    the target hangs when it returns the same value for `limit_s` seconds; None says that it does not run just
    now. `say` takes lines for the user.
    """

    def __init__(
        self,
        target: Sequence[str] | int,
        limit_s: float,
        directory: Path,
        *,
        kill: bool | None = None,
        time_limit_s: float | None = None,
        flights: Path | None = None,
        environment: dict[str, str] | None = None,
        stdout: BinaryIO | None = None,
        on_hang: Callable[[Hang], bool] | None = None,
        idle: Callable[[], bool] | None = None,
        notes: Callable[[], dict[str, str]] | None = None,
        progress: Callable[[], object] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        for what, seconds in (("limit", limit_s), ("time limit", time_limit_s)):
            if seconds is not None and not 0 < seconds < math.inf:
                raise ValueError(f"{what} {seconds} s; give a number of seconds above 0")
        self.limit_s = limit_s
        self.directory = directory
        self.flights = flights
        self.pid = target if isinstance(target, int) else None
        """The process watched; None before it was started."""
        self._target = target
        self._time_limit_s = time_limit_s
        self._kill = not isinstance(target, int) if kill is None else kill
        self._environment = environment
        self._stdout = stdout
        self._on_hang = on_hang
        self._idle = idle or _never
        self._notes = notes or dict
        self._subject: dict[str, str] = {}
        self._progress = progress
        self._measured: object = None
        self._say = say or _to_stderr
        self._asked: queue.SimpleQueue[tuple[str, queue.SimpleQueue[Hang]]] = queue.SimpleQueue()
        self._hangs: list[Hang] = []
        self._reported_since = -1.0
        self._told: set[int] = set()
        """Threads, by kernel id, that a report has told of and that live on: they are not to blame again."""

    def run(self) -> Outcome:
        """Watch until the target has ended, or was killed, or (a process not started here) was reported.

        Raises `StartError` when the command cannot be started.
        """
        if isinstance(self._target, int):
            return self._watch(self._target, None)
        try:
            child = subprocess.Popen(list(self._target), env=self._environment, stdout=self._stdout)
        except OSError as error:
            raise StartError(error.errno, error.strerror or str(error)) from None
        self.pid = child.pid
        try:
            return self._watch(child.pid, child)
        finally:
            if child.poll() is None:  # something of ours went wrong, or the user has had enough
                self._let_end(child)

    def _let_end(self, child: subprocess.Popen[bytes]) -> None:
        """Ask the command to end, then kill what is left of it and of all that it started."""
        before = looking.listed(child.pid, self.flights)
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.terminate()
                child.wait(GRACE_S)
        finally:
            # While the command is not waited for, its pid is nobody else's.
            below = looking.listed(child.pid, self.flights) if child.returncode is None else ()
            ending.kill((*below, *before))
            child.wait()

    def report_now(self, headline: str, patience_s: float) -> Hang | None:
        """From another thread: have a report written at the next look; None if that takes over `patience_s`."""
        answer: queue.SimpleQueue[Hang] = queue.SimpleQueue()
        self._asked.put((headline, answer))
        with contextlib.suppress(queue.Empty):
            return answer.get(timeout=patience_s)
        return None

    def _watch(self, root: int, child: subprocess.Popen[bytes] | None) -> Outcome:
        begin = time.monotonic()
        judge = Judge(begin)
        judge.told = self._told
        pause = min(self.limit_s / 10, LONGEST_LOOK_S)
        cost = 0.0
        while True:
            # A look at many processes takes its time: never more than a third of ours.
            code = _ended(root, child, max(pause, 2 * cost))
            if code is not None:
                return Outcome(EXIT_HANG if self._hangs else code, tuple(self._hangs), killed=False)
            started = time.monotonic()
            hang, ends = self._look(judge, root, begin)
            cost = time.monotonic() - started
            if hang is not None and ends:
                if child is not None:
                    child.wait()
                return Outcome(EXIT_HANG, tuple(self._hangs), killed=True)
            if hang is not None and child is None and self._on_hang is None:
                return Outcome(EXIT_HANG, tuple(self._hangs), killed=False)

    def _look(self, judge: Judge, root: int, begin: float) -> tuple[Hang | None, bool]:
        """Look once; return the hang that was reported, if any, and whether the tree was killed for it."""
        now = time.monotonic()
        sight = looking.look(root, self.flights)
        judge.look(now, sight.readings)
        with contextlib.suppress(queue.Empty):
            headline, answer = self._asked.get_nowait()
            hang = self._report(judge, sight, headline, min(self.limit_s, ASKED_S), forced=True)
            if hang is not None:
                self._tell(hang)
                answer.put(hang)
            judge.alive(time.monotonic())  # whoever asked does something about it
        subject = self._notes()
        if subject != self._subject:
            self._subject = subject
            judge.alive(now)  # another test: its limit begins
        if self._time_limit_s is not None and now - begin >= self._time_limit_s:
            self._time_limit_s = None
            return self._hang(judge, sight, f"not finished after {now - begin:.1f} s", forced=True)
        if self._idle():
            judge.alive(now)
            return None, False
        if self._progress is not None:
            return self._by_own_measure(judge, sight, now)
        return self._by_what_is_seen(judge, sight, now)

    def _by_what_is_seen(self, judge: Judge, sight: Sight, now: float) -> tuple[Hang | None, bool]:
        """Judge by recorded operations and moving threads."""
        if any(certain(shot, self.limit_s, self._told) for shot in sight.snapshots):
            headline = f"threads that can never go on have waited for over {self.limit_s:g} s"
            return self._hang(judge, sight, headline, forced=True)
        if judge.since == self._reported_since or now - judge.since < self.limit_s / 2:
            return None, False
        for pid in judge.busy():
            judge.sample(now, sample(pid))
        if not judge.due(time.monotonic(), self.limit_s):
            return None, False
        stalled = time.monotonic() - judge.since
        return self._hang(judge, sight, f"no progress for {stalled:.1f} s", forced=False)

    def _by_own_measure(self, judge: Judge, sight: Sight, now: float) -> tuple[Hang | None, bool]:
        """Judge by what the target says of its progress."""
        assert self._progress is not None
        measured = self._progress()
        if measured is None or measured != self._measured:
            self._measured = measured
            judge.alive(now)
        if now - judge.since < self.limit_s or judge.since == self._reported_since:
            return None, False
        headline = f"no progress by its own measure for {now - judge.since:.1f} s"
        return self._hang(judge, sight, headline, forced=True)

    def _hang(
        self, judge: Judge, sight: Sight, headline: str, *, forced: bool
    ) -> tuple[Hang | None, bool]:
        hang = self._report(judge, sight, headline, self.limit_s, forced=forced)
        if hang is None:
            judge.alive(time.monotonic())
            return None, False
        if self._on_hang is None:
            ends = self._kill
            self._reported_since = judge.since  # left alone, it is reported once
        else:
            ends = self._on_hang(hang)
            judge.alive(time.monotonic())  # something was done about it: a new limit begins
        if ends:
            self._end(judge, sight, hang)
        self._tell(hang)
        return hang, ends

    def _tell(self, hang: Hang) -> None:
        """Note the threads that a report has told of."""
        self._told |= {
            row.native_id
            for row in hang.report.threads
            if row.native_id is not None and row.state != "runs"
        }

    def _report(
        self, judge: Judge, sight: Sight, headline: str, patience_s: float, *, forced: bool
    ) -> Hang | None:
        """Diagnose and write; None for a program that is merely slow, unless `forced`."""
        dumped = looking.dumps(sight)
        report = self._diagnosed(judge, sight, headline, dumped, patience_s)
        if report.verdict == "merely slow" and not forced:
            return None
        if not report.pid and sight.processes:  # no Python in it: the tree's root stands for it
            first = sight.processes[0].pid
            report = replace(report, pid=first, command=processes.command(first))
        hang = self._written(report, writing.stem_for(self.directory, report.pid))
        self._hangs.append(hang)
        return hang

    def _diagnosed(
        self,
        judge: Judge,
        sight: Sight,
        headline: str,
        dumped: tuple[ProcessDump, ...],
        patience_s: float,
        *,
        words: dict[int, str] | None = None,
    ) -> HangReport:
        names = {
            shot.pid: {thread.ident: thread.name for thread in shot.threads}
            for shot in sight.snapshots
        }
        words = words or {}
        dumped = tuple(_with_words(dump, words, names) for dump in dumped)
        attached = {"processes": looking.describe(sight)}
        if texts := sources.digests(sight.snapshots):
            attached[sources.TITLE] = texts
        for pid, text in words.items():
            title = f"faulthandler's dump of process {pid}, just before it was killed"
            attached[title] = faults.named(text, names.get(pid, {}))
        return diagnose(
            sight.snapshots,
            dumped,
            headline=headline,
            patience_s=patience_s,
            stands_still=self._progress is not None,
            activity=judge.activity(),
            moving=judge.moving(),
            # A main thread may have gone on since, by an exception.
            stale=self._told - {process.pid for process in sight.processes},
            notes=self._notes(),
            commands={each.pid: processes.command(each.pid) for each in sight.processes},
            attached={**attached, **self._witnesses()},
            problems=sight.problems,
        )

    def _witnesses(self) -> dict[str, str]:
        """Return what others wrote into the directory of recordings: dumps of a test runner's time-out."""
        found: dict[str, str] = {}
        if self.flights is not None:
            for path in sorted(self.flights.glob("witness-*.txt"))[:20]:
                with contextlib.suppress(OSError):
                    title = path.stem.removeprefix("witness-")
                    found[title] = path.read_text(errors="replace")[:200_000]
        return found

    def _written(self, report: HangReport, stem: str) -> Hang:
        again = self.directory / f"{stem}.json"
        line = (
            f"reproduce: stage3 reproduce {shlex.quote(str(again))}"
            if any(shot.pid == report.pid and shot.ring for shot in report.snapshots)
            else f"run it again with the recorder: stage3 watch -- {shlex.join(report.command)}"
        )
        report = replace(report, repro=line)
        written = writing.write(self.directory, report, stem)
        for problem in written.problems:
            self._say(problem)
        self._say(f"stage3: {report.headline}: {brief(report)}")
        text = written.of(".txt")
        self._say(f"stage3: hang report: {text}" if text else "stage3: no report could be written")
        return Hang(report, written)

    def _end(self, judge: Judge, sight: Sight, hang: Hang) -> None:
        answered = {dump.pid for dump in hang.report.dumps if dump.threads}
        moving = {shot.pid for shot in sight.snapshots if _moves(shot)} | judge.busy().keys()
        # A dump from inside crashes, now and then, a process whose threads move: no need where a tool has answered.
        asked = [
            each for each in sight.processes if each.pid not in answered or each.pid not in moving
        ]
        words = ending.last_words(asked, self.flights) if self.flights else {}
        if words:
            seen = hang.report
            report = self._diagnosed(
                judge, sight, seen.headline, seen.dumps, self.limit_s, words=words
            )
            path = hang.written.of(".json")
            if path is not None:
                report = replace(report, repro=hang.report.repro)
                again = Hang(report, writing.write(self.directory, report, path.stem))
                self._hangs[-1] = again
        # The dumps took seconds, in which others may have been started.
        root = sight.processes[0] if sight.processes else None
        now = looking.listed(root.pid, self.flights) if root is not None else ()
        same = bool(now) and root is not None and now[0].ticks == root.ticks
        ending.kill((*(now if same else ()), *sight.processes))


def _ended(root: int, child: subprocess.Popen[bytes] | None, pause_s: float) -> int | None:
    """Wait `pause_s` seconds; return the exit code of the target if it has ended, as a shell shows it."""
    if child is None:
        time.sleep(pause_s)
        process = processes.one(root)
        return 0 if process is None or process.state in "ZX" else None
    try:
        code = child.wait(pause_s)
    except subprocess.TimeoutExpired:
        return None
    return code if code >= 0 else 128 - code


def _moves(snapshot: Snapshot) -> bool:
    """Say whether a process has made operations within the last while."""
    return bool(snapshot.ring) and (snapshot.taken_ns - snapshot.ring[-1].ns) / 1e9 < STILL_S


def _with_words(
    dump: ProcessDump, words: dict[int, str], names: dict[int, dict[int, str]]
) -> ProcessDump:
    """Put faulthandler's view where no tool had one."""
    if dump.threads or dump.pid not in words:
        return dump
    threads = faults.parse(words[dump.pid], names.get(dump.pid, {}))
    return ProcessDump(dump.pid, "faulthandler", threads, dump.problems)


def _never() -> bool:
    return False


def _to_stderr(line: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
