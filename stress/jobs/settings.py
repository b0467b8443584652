"""A whole stress job as one value, and the lines that repeat it or one of its runs.

Promises: run k of a job is `runs(settings)`'s k-th task, the same on every machine and in every shard.
"""

from __future__ import annotations

import itertools
import platform
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from stress.jobs import targets as targets_
from stress.jobs.noise import Noise
from traces import store
from verify.record import own_version
from verify.supervise import Header, Shard, Task

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from stress.jobs.targets import Target

MOST_SEED: Final = 1 << 32
DEFAULT_WORKERS: Final = 2
DEFAULT_LIMIT_S: Final = 30.0
SLOWEST: Final = 20
"""A run may take so many times the limit as long as it gets on; then it counts as hung, for a job must end."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One job. Neither `count` (runs of each target) nor `duration_s`: until a failure.

    `limit_s` is how long a run may show no progress, `time_limit_s` how long it may take (None: `SLOWEST` times that).
    """

    targets: tuple[Target, ...]
    output: Path
    seed: int = 0
    count: int | None = None
    duration_s: float | None = None
    workers: int = DEFAULT_WORKERS
    until_failure: bool = False
    shard: Shard = field(default_factory=Shard)
    resume: Path | None = None
    limit_s: float = DEFAULT_LIMIT_S
    time_limit_s: float | None = None
    noise: Noise = field(default_factory=Noise)
    record: bool = True
    junit: Path | None = None

    @property
    def time_limit(self) -> float:
        """Return how long a run may take, in seconds."""
        return self.limit_s * SLOWEST if self.time_limit_s is None else self.time_limit_s

    @property
    def total(self) -> int | None:
        """Return how many runs there are for this shard, None for no bound."""
        if self.count is None:
            return None
        runs = self.count * len(self.targets)
        part, parts = self.shard.part - 1, self.shard.parts
        return (runs - part + parts - 1) // parts if runs > part else 0

    def tasks(self) -> Iterator[Task]:
        """Yield the runs of this shard: run k is of target k modulo their number."""
        many = len(self.targets)
        numbers = itertools.count() if self.count is None else range(self.count * many)
        return (
            Task(number, (self.seed + number // many) % MOST_SEED, {"target": number % many})
            for number in numbers
            if number in self.shard
        )

    def header(self) -> Header:
        """Return what a journal of this job belongs to: all that changes what one of its runs means."""
        settings = {
            "targets": "; ".join(target.text for target in self.targets),
            "seed": str(self.seed),
            "noise": shlex.join(self.noise.words()) or "none",
            "limit": f"{self.limit_s:g}",
            "time limit": f"{self.time_limit:g}",
            "shard": str(self.shard),
            "recorder": "on" if self.record else "off",
            "python": platform.python_version(),
            "stage3": own_version(),
        }
        return Header(targets_.digest(self.targets), settings)

    def again(self, task: Task) -> str:
        """Return the line that repeats one run."""
        target = self.target_of(task)
        return self._line([target], ["--seed", str(task.seed), "--count", "1"])

    def resumed(self, journal: Path) -> str:
        """Return the line that goes on with this job."""
        words = ["--seed", str(self.seed)]
        if self.count is not None:
            words += ["--count", str(self.count)]
        if self.duration_s is not None:
            words += ["--duration", f"{self.duration_s:g}"]
        if self.until_failure:
            words.append("--until-failure")
        if self.shard.parts > 1:
            words += ["--shard", str(self.shard)]
        words += ["--resume", str(journal)]
        if self.workers != DEFAULT_WORKERS:
            words += ["--workers", str(self.workers)]
        if self.output != store.DIRECTORY:
            words += ["--output", str(self.output)]
        if self.junit is not None:
            words += ["--junit", str(self.junit)]
        return self._line(self.targets, words)

    def target_of(self, task: Task) -> Target:
        """Return the target that a task runs."""
        at = task.what.get("target", 0)
        return self.targets[at if isinstance(at, int) and 0 <= at < len(self.targets) else 0]

    def _line(self, targets: tuple[Target, ...] | list[Target], words: list[str]) -> str:
        named = [target.text for target in targets if target.kind is not targets_.Kind.COMMAND]
        commands = [target.text for target in targets if target.kind is targets_.Kind.COMMAND]
        words = [*words, *self.noise.words()]
        if self.limit_s != DEFAULT_LIMIT_S:
            words += ["--limit", f"{self.limit_s:g}"]
        if self.time_limit_s is not None:
            words += ["--time-limit", f"{self.time_limit_s:g}"]
        if not self.record:
            words.append("--no-record")
        line = ["stage3", "stress", *named, shlex.join(words)]
        return " ".join([*line, "--", *commands] if commands else line)
