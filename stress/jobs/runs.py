"""One run of a target, inside a worker process.

Promises: `make` returns the function that runs tasks (see `verify.supervise.worker`); before each run `random`
is seeded and `STAGE3_SEED` set; a run is over when its function has returned and the threads that it
started, daemons excepted, have ended, as a process would be; an exception that ends any thread is a failure;
a worker in which a run failed or left threads behind is not used again.
Assumes: it is called on the main thread. Does not: notice hangs, which is the business of those who watch.
"""

from __future__ import annotations

import os
import random
import subprocess
import threading
import traceback
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, cast

from stress.jobs import noise as noises
from stress.jobs import pytest_runs, recording
from stress.jobs.targets import SEED, Kind, Target
from stress.migration import bench
from verify import program
from verify.abc import UsageError
from verify.processes import signal_name
from verify.supervise import Json, Result, Task

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Run = Callable[[int], "Outcome"]
    """From the seed of a run to what it came to."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to: `message` says what failed, empty if nothing. `where` is `file:line`, if known."""

    message: str = ""
    where: str = ""
    notes: tuple[str, ...] = ()
    skipped: bool = False


def make(options: Mapping[str, Json]) -> Callable[[Task], Result]:
    """Return what runs a task of this job."""
    noise = noises.Noise(**cast("dict[str, float]", options["noise"]))  # type: ignore[arg-type] # as `Noise.as_json` wrote it
    rows = cast("list[dict[str, Json]]", options["targets"])
    targets = [_target(row) for row in rows]
    runs = [_run_of(target, noise) for target in targets]

    def step(task: Task) -> Result:
        random.seed(task.seed)
        os.environ["STAGE3_SEED"] = str(task.seed)
        before = set(threading.enumerate())
        at = cast("int", task.what["target"])
        recording.begin(task.seed, noise, targets[at].text)
        with noises.within(noise, os.getpid()):
            outcome = runs[at](task.seed)
        left = [thread.name for thread in threading.enumerate() if thread not in before]
        if left:
            outcome = replace(
                outcome, notes=(*outcome.notes, f"threads left running: {', '.join(left[:8])}")
            )
        return _result(outcome, retire=bool(left))

    return step


def _target(row: dict[str, Json]) -> Target:
    return Target(Kind(str(row["kind"])), tuple(cast("list[str]", row["words"])))


def _result(outcome: Outcome, *, retire: bool) -> Result:
    failed = bool(outcome.message)
    value: dict[str, Json] = {}
    if outcome.where:
        value["where"] = outcome.where
    if outcome.notes:
        value["notes"] = list(outcome.notes)
    if outcome.skipped:
        value["skipped"] = True
    return Result(failed, outcome.message, value or None, retire or failed)


def _run_of(target: Target, noise: noises.Noise) -> Run:
    if target.kind is Kind.COMMAND:
        return partial(command, target.words)
    if target.kind is Kind.PYTEST:
        return partial(_pytest, pytest_runs.prepare(), target.words[0])
    body = program.load(target.function).body
    bench.slow_vcpus(noise.slow_vcpus)
    return partial(function, cast("Callable[[], object]", body))


def _pytest(run: pytest_runs.Node, node: str, _seed: int) -> Outcome:
    message, where, skipped = run(node)
    return Outcome(message, where, skipped=skipped)


@dataclass(slots=True)
class _Ends:
    """Exceptions that ended threads, in order, as text with its place."""

    seen: list[tuple[str, str]] = field(default_factory=list)

    def hook(self, args: threading.ExceptHookArgs) -> None:
        """Stand in for `threading.excepthook`."""
        if args.exc_value is None or isinstance(args.exc_value, SystemExit):
            return
        name = args.thread.name if args.thread is not None else "a thread"
        self.add(args.exc_value, f"in thread {name}: ")
        threading.__excepthook__(args)

    def add(self, error: BaseException, prefix: str = "") -> None:
        """Remember an exception."""
        last = traceback.format_exception_only(error)[-1].strip()
        self.seen.append((prefix + last, _place(error)))


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""


def function(body: Callable[[], object], _seed: int = 0) -> Outcome:
    """Call `body`, wait for the threads it leaves, and say what raised."""
    ends = _Ends()
    before = set(threading.enumerate())
    kept, threading.excepthook = threading.excepthook, ends.hook
    try:
        try:
            body()
        except UsageError:
            raise
        except SystemExit as error:
            if error.code not in {None, 0}:
                ends.add(error)
        except BaseException as error:  # noqa: BLE001 - whatever ends the run is its result
            traceback.print_exc()
            ends.add(error)
        if not ends.seen:
            _await_threads(before)
    finally:
        threading.excepthook = kept
    message, where = ends.seen[0] if ends.seen else ("", "")
    more = tuple(f"also {text}" for text, _ in ends.seen[1:9])
    return Outcome(message, where, more)


def _await_threads(before: set[threading.Thread]) -> None:
    # After a failure nobody waits: what the failed part was to wake would never end.
    while left := [t for t in threading.enumerate() if t not in before and not t.daemon]:
        left[0].join()


def command(words: tuple[str, ...], seed: int) -> Outcome:
    """Run a command with the seed in its environment; any exit code but 0 is a failure."""
    argv = [word.replace(SEED, str(seed)) for word in words]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, check=False)
    except OSError as error:
        raise UsageError(
            f"command {words[0]!r} cannot be run: {error.strerror}; name one that can"
        ) from None
    code = done.returncode
    if code >= 0:
        return Outcome(f"exit code {code}" if code else "")
    return Outcome(f"ended by {signal_name(-code)}")
