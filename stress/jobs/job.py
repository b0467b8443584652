"""A whole stress job: runs in workers, what is kept of failures, the journal.

Promises: everything it finds is in `JobResult` and in the artifacts folder, also when it is interrupted; run
k is the same run whether the job is whole, sharded or resumed. Does not: print; `command` does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stress.hang.text import brief
from stress.jobs import folder as folders
from stress.jobs import noise, recording, runs
from stress.jobs.outcome import JobResult, Problem
from stress.jobs.stuck import Judge
from verify.abc import UsageError
from verify.supervise import BAD, Ended, Fate, Journal, Started, WorkerError, run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from stress.jobs.progress import Progress
    from stress.jobs.settings import Settings
    from stress.watchdog.sidecar import Hang
    from verify.supervise import Json
    from verify.supervise.supervisor import Event

JOURNAL: Final = "journal.jsonl"
TTL_S: Final = 600.0
"""A worker's time to live: what a program leaks ends there."""


def run_job(
    settings: Settings, progress: Progress, interrupted: Callable[[], bool] = lambda: False
) -> JobResult:
    """Run a job. `interrupted` says whether it was asked to end.

    Raises `UsageError` for what cannot be run; once a run has ended, that is the result's `trouble`.
    """
    header = settings.header()
    with contextlib.ExitStack() as stack:
        if settings.resume is not None:
            journal = stack.enter_context(Journal.resume(settings.resume, header))
            folder = folders.make(settings.output)
        else:
            folder = folders.make(settings.output)
            journal = stack.enter_context(Journal.create(folder / JOURNAL, header))
        result = JobResult(settings, folder, journal.path)
        flights = None
        if settings.record:
            made = tempfile.TemporaryDirectory(prefix="stage3-flight-", ignore_cleanup_errors=True)
            flights = Path(stack.enter_context(made))
        with progress, noise.busy(settings.noise.load, settings.seed):
            try:
                _Run(result, journal, progress, flights, interrupted).go()
            except WorkerError as error:
                result.interrupted = False
                result.trouble = f"no worker could be started: {error}"
            except UsageError as error:
                if not result.done:
                    shutil.rmtree(folder, ignore_errors=True)  # it holds nothing
                    raise
                result.interrupted = False
                result.trouble = f"a target was refused: {error}"
        result.problems.sort(key=lambda problem: problem.number)
    return result


class _Run:
    def __init__(
        self,
        result: JobResult,
        journal: Journal,
        progress: Progress,
        flights: Path | None,
        interrupted: Callable[[], bool],
    ) -> None:
        self.interrupted = interrupted
        self.result = result
        self.settings = result.settings
        self.journal = journal
        self.progress = progress
        self.flights = flights
        self.began = time.monotonic()
        self.judge = Judge(self.settings.limit_s, self.settings.time_limit, result.folder, flights)

    def go(self) -> None:
        """Run everything; a keyboard interrupt ends it, with all that was found until then."""
        settings = self.settings
        with contextlib.suppress(KeyboardInterrupt):
            self.result.interrupted = True
            summary = run(
                settings.tasks(),
                f"{runs.__name__}:{runs.make.__name__}",
                options=self._options(),
                workers=settings.workers,
                heartbeat_s=0,  # the watchdog sees a held interpreter lock; a thread of ours would be in its way
                limit_s=min(settings.limit_s / 2, settings.time_limit),
                ttl_s=TTL_S,
                seconds=settings.duration_s,
                journal=self.journal,
                stop_on=BAD if settings.until_failure else (),
                on_event=self.see,
                judge=self.judge,
                environment=self._environment,
                interrupted=self.interrupted,
            )
            self.result.interrupted = False
            self.result.stopped = summary.stopped

    def _environment(self, slot: int) -> Mapping[str, str]:
        base = {"PYTHONHASHSEED": "0", **os.environ}
        return base if self.flights is None else recording.environment(base, self.flights, slot)

    def _options(self) -> dict[str, Json]:
        targets: list[Json] = [target.as_json() for target in self.settings.targets]
        return {"targets": targets, "noise": self.settings.noise.as_json()}

    def see(self, event: Event) -> None:
        """Take an event in: count it, keep what is worth keeping, show it."""
        self.progress.see(event)
        self.result.seconds = time.monotonic() - self.began
        self.judge.see(event)
        self.result.started += isinstance(event, Started)
        if not isinstance(event, Ended):
            return
        hang = self.judge.ended(event)
        result = self.result
        result.counts[event.fate] += 1
        result.resumed += event.resumed
        target = self.settings.target_of(event.task).text
        value = event.value if isinstance(event.value, dict) else {}
        if event.fate is Fate.PASSED:
            (result.skipped if value.get("skipped") else result.passed)[target] += 1
            notes = value.get("notes")
            result.notes.update(map(str, notes) if isinstance(notes, list) else ())
            return
        about = _about(event, hang)
        problem = self._problem(event, about, target, str(value.get("where", "")))
        result.problems.append(problem)
        self.progress.problem(problem)

    def _problem(
        self, ended: Ended, about: tuple[str, tuple[str, ...]], target: str, where: str
    ) -> Problem:
        again = self.settings.again(ended.task)
        task = ended.task
        message, files = about
        problem = Problem(
            task.number,
            task.seed,
            target,
            ended.fate,
            message,
            ended.seconds,
            again,
            where,
            "",
            files,
        )
        if ended.resumed or len(self.result.problems) >= folders.MOST_KEPT:
            return problem
        headline = f"{target}: {problem.headline}"
        return replace(problem, folder=folders.keep(self.result.folder, ended, headline, again))


def _about(ended: Ended, hang: Hang | None) -> tuple[str, tuple[str, ...]]:
    """Return what a run's end is called, and the reports on it."""
    if ended.fate is not Fate.HUNG or hang is None:
        return ended.message, ()
    return brief(hang.report), tuple(path.name for path in hang.written.files)
