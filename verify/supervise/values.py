"""What a supervised run speaks of: tasks, how they end, events, and what it all came to.

Promises: plain immutable values; what crosses a process or a journal is JSON. Does not: start
anything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


class Fate(StrEnum):
    """How a task ended."""

    PASSED = "passed"
    FAILED = "failed"
    """The worker's function says that what it ran failed."""
    RAISED = "raised"
    """The worker's function itself raised."""
    CRASHED = "crashed"
    """A signal ended the worker."""
    EXITED = "exited"
    """The worker's process ended in the middle of the task."""
    HUNG = "hung"
    """The worker fell silent, or the task was over its limit: its stacks were taken, then it was killed."""


BAD: Final = frozenset(Fate) - {Fate.PASSED}
LOST: Final = frozenset({Fate.CRASHED, Fate.EXITED, Fate.HUNG})
"""Fates that cost a worker."""


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work. `number` is unique in a run and ties it to the journal."""

    number: int
    seed: int
    what: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """What the worker's function made of a task.

    `retire` asks for this worker to be replaced before the next task: what ran has left something
    behind.
    """

    failed: bool = False
    message: str = ""
    value: Json = None
    retire: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A task that is over. Output is kept where it ended badly, at most `worker.MOST_OUTPUT` characters of each.

    `message` names the cause (exception, signal, exit code, limit); `report` holds the stacks of a
    hung worker, or what the judge of the run said. `earlier` counts the tasks that the same worker had
    done before. `resumed` marks what the journal remembers.
    """

    task: Task
    fate: Fate
    message: str = ""
    value: Json = None
    seconds: float = 0.0
    pid: int = 0
    stdout: str = ""
    stderr: str = ""
    report: str = ""
    earlier: int = 0
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """A worker process was started in place `slot`."""

    slot: int
    pid: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Nothing in particular happened for a moment. `running` maps process ids to task and seconds."""

    running: Mapping[int, tuple[Task, float]]


@dataclass(frozen=True, slots=True)
class Stuck:
    """A worker that may hang: what the judge of a run is asked about.

    `silent` says that not even its heartbeat comes (the interpreter lock is held, or the process is
    stopped); otherwise `task` is over its limit. `seconds` counts from the begin of the task or of the silence.
    """

    pid: int
    task: Task
    seconds: float
    silent: bool


@dataclass(slots=True)
class Summary:
    """What a run came to. `counts` includes what a journal remembered, `resumed` says how much that was.

    `stopped` says why tasks were left over: "", "first failure", "enough" or "time". `unfinished` are tasks
    that were under way then.
    """

    counts: Counter[Fate] = field(default_factory=Counter)
    bad: list[Ended] = field(default_factory=list)
    seconds: float = 0.0
    resumed: int = 0
    workers: int = 0
    stopped: str = ""
    unfinished: list[Task] = field(default_factory=list)

    @property
    def done(self) -> int:
        """Return how many tasks ended, in whatever way."""
        return self.counts.total()

    def add(self, ended: Ended) -> None:
        """Count one task."""
        self.counts[ended.fate] += 1
        self.resumed += ended.resumed
        if ended.fate in BAD:
            self.bad.append(ended)
