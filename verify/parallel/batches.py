"""What became of one batch of executions: what its search came to, or how the worker was lost with it.

Promises: plain values that go through JSON unchanged, between processes, machines and journals; `of_ended` checks
all it reads. A batch with more kinds of failure than fit a message keeps the first ones and counts the rest.
Does not: run anything.
"""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from verify.abc import Finding, UsageError
from verify.granularity import parse as granularity_of
from verify.parallel.rows import Row, RowError
from verify.parallel.seen import Kept, Seen
from verify.processes import signal_name
from verify.supervise import Fate

if TYPE_CHECKING:
    from collections.abc import Iterable

    from verify.explore import Exploration, Group
    from verify.supervise import Ended, Json

MOST_BYTES: Final = 4 << 20
"""Of one list of failures as JSON; the supervisor takes messages of four times that."""
NOTHING: Final = Seen()
KILLED: Final = f"ended by {signal_name(signal.SIGKILL)}"


class DamagedError(UsageError):
    """The value of a batch is none; the text names the batch."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of failure in a batch. `first` is the number of the execution that showed it, from 1, in the batch."""

    finding: Finding
    choices: tuple[int, ...]
    first: int
    first_s: float
    count: int
    granularity: str

    @classmethod
    def of(cls, group: Group) -> Self:
        """Return what has to be known of a group to run its first schedule again."""
        return cls(
            group.finding,
            group.choices,
            group.first,
            round(group.first_s, 6),
            group.count,
            group.granularity,
        )

    def as_json(self) -> dict[str, Json]:
        """Return this as JSON."""
        finding = self.finding
        return {
            "cause": finding.cause,
            "message": finding.message,
            "key": list(finding.key),
            "details": list(finding.details),
            "cycle": list(finding.cycle),
            "culprits": list(finding.culprits),
            "fatal": finding.fatal,
            "choices": list(self.choices),
            "first": self.first,
            "first_s": self.first_s,
            "count": self.count,
            "granularity": self.granularity,
        }

    @classmethod
    def parse(cls, row: Row) -> Self:
        """Return what `as_json` wrote; raise `RowError` for anything else."""
        finding = Finding(
            row.text("cause"),
            row.text("message"),
            row.texts("key"),
            row.texts("details"),
            row.texts("cycle"),
            row.texts("culprits"),
            row.flag("fatal"),
        )
        return cls(
            finding,
            row.choices("choices"),
            row.whole("first"),
            row.seconds("first_s"),
            row.whole("count"),
            _granularity(row),
        )


@dataclass(frozen=True, slots=True)
class Batch:
    """What the search of one batch came to.

    `threads` is the most tasks of an execution, `seen` what its runs showed of classes;
    `unlisted` counts kinds of failure left out for their size. `last` says that the whole search ends with this
    batch: every schedule was run, it went astray, or it failed and the first failure was to end it.
    """

    executions: int
    steps: int
    seconds: float
    groups: tuple[Kind, ...]
    notes: tuple[Kind, ...]
    exhausted: bool
    diverged: str
    granularity: str
    worth: str
    last: bool
    threads: int = 0
    seen: Seen = NOTHING
    unlisted: int = 0
    hopes: tuple[tuple[str, int, int], ...] = ()
    """What was to be reached, how often it was asked for and how often reached."""

    @classmethod
    def of(cls, state: Exploration, *, found: bool) -> Self:
        """Return what an exploration came to; `found` says that it ended at a failure as it was told to."""
        groups, left_out = _fitting([*state.groups.values(), *state.warnings.values()])
        notes, more = _fitting(state.notes.values())
        return cls(
            state.executions,
            state.steps,
            round(state.seconds, 6),
            groups,
            notes,
            state.exhausted,
            state.diverged,
            state.granularity,
            state.worth,
            state.exhausted or bool(state.diverged) or found,
            state.threads,
            Seen.of(state.measure) if isinstance(state.measure, Kept) else NOTHING,
            left_out + more,
            tuple((name, *counts) for name, counts in state.hopes.items()),
        )

    def as_json(self) -> dict[str, Json]:
        """Return this as JSON."""
        return {
            "executions": self.executions,
            "steps": self.steps,
            "seconds": self.seconds,
            "groups": [kind.as_json() for kind in self.groups],
            "notes": [kind.as_json() for kind in self.notes],
            "exhausted": self.exhausted,
            "diverged": self.diverged,
            "granularity": self.granularity,
            "worth": self.worth,
            "last": self.last,
            "threads": self.threads,
            "seen": self.seen.as_json(),
            "unlisted": self.unlisted,
            "hopes": [
                {"name": name, "asked": asked, "reached": reached}
                for name, asked, reached in self.hopes
            ],
        }

    @classmethod
    def parse(cls, value: Json) -> Self:
        """Return what `as_json` wrote; raise `RowError` for anything else."""
        row = Row(value)
        return cls(
            row.whole("executions"),
            row.whole("steps"),
            row.seconds("seconds"),
            tuple(map(Kind.parse, row.rows("groups"))),
            tuple(map(Kind.parse, row.rows("notes"))),
            row.flag("exhausted"),
            row.text("diverged"),
            _granularity(row),
            row.text("worth"),
            row.flag("last"),
            row.whole("threads"),
            Seen.parse(row.value.get("seen")),
            row.whole("unlisted"),
            tuple(
                (goal.text("name"), goal.whole("asked"), goal.whole("reached"))
                for goal in row.rows("hopes")
            ),
        )


@dataclass(frozen=True, slots=True)
class Loss:
    """A batch that cost its worker: `words` say how, `execution` in which of its executions (from 1; 0: not known).

    `report` are lines that were left: stacks of all threads, or the end of what was printed.
    """

    seed: int
    fate: Fate
    words: str
    execution: int = 0
    report: tuple[str, ...] = ()

    @property
    def is_crash(self) -> bool:
        """Whether the program ended its process: a failure. A kill may be the kernel's, out of memory."""
        return self.fate in {Fate.CRASHED, Fate.EXITED} and KILLED not in self.words


def _fitting(groups: Iterable[Group]) -> tuple[tuple[Kind, ...], int]:
    kept: list[Kind] = []
    room, left_out = MOST_BYTES, 0
    for group in groups:
        kind = Kind.of(group)
        room -= len(json.dumps(kind.as_json()))
        if room < 0:
            left_out += 1
        else:
            kept.append(kind)
    return tuple(kept), left_out


def _granularity(row: Row) -> str:
    text = row.text("granularity")
    try:
        granularity_of(text)
    except UsageError as error:
        raise RowError(str(error)) from None
    return text


def of_ended(ended: Ended) -> Batch | Loss:
    """Return what became of the batch that was a task; raise `DamagedError` where its value cannot be read."""
    task = ended.task
    try:
        if ended.fate is Fate.PASSED:
            return Batch.parse(ended.value)
        row = Row(ended.value if ended.value is not None else {"execution": 0, "report": []})
        return Loss(
            task.seed, ended.fate, ended.message, row.whole("execution"), row.texts("report")
        )
    except RowError as error:
        raise DamagedError(
            f"batch {task.number}: {error}; what holds it is damaged: begin anew without it"
        ) from None
