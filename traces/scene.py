"""What stood between the steps of a run: who held which lock, who waited for whom, and the lines of the program.

Promises: every value is immutable; `scene` takes parsed JSON from anywhere and returns a value whose every field has
its type and keeps its bound, whose version is known and whose intervals lie within the run, or raises `TraceError`
naming the field.
Does not judge: it is what whoever recorded the run saw after each step.

An interval `[first, last]` covers the states after the steps `first` to `last`; `last` is None where it held on when
the run ended, or when recording stopped after `MOST_KEPT` steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from traces._fields import RECORD_AGAIN, Fields, as_text, as_whole, wrong
from traces.errors import TraceError, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MOST_KEPT", "VERSION", "Hold", "Scene", "Source", "Wait", "scene"]

VERSION = 1
MOST_KEPT = 100_000
"""Steps of a run after which the scene is kept; what follows in a longer run is not in it."""
MOST_INTERVALS = 500_000
MOST_SOURCES = 2_000
MOST_LINES = 100
MOST_LINE = 500


@dataclass(frozen=True, slots=True)
class Hold:
    """The task `task` (a creation path) held the lock called `lock` (a stable name)."""

    lock: str
    task: str
    first: int
    last: int | None


@dataclass(frozen=True, slots=True)
class Wait:
    """The task `task` was blocked in `op` on `object`; `owner` is who alone could let it go on, or ""."""

    task: str
    op: str
    object: str
    owner: str
    first: int
    last: int | None


@dataclass(frozen=True, slots=True)
class Source:
    """Lines of `file` from number `line` on, as they were when the run was recorded, without their ends."""

    file: str
    line: int
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """Holds and waits by their last step, and lines of the program by file and number.

    `kept` is how many steps it covers.
    """

    version: int
    kept: int
    holds: tuple[Hold, ...]
    waits: tuple[Wait, ...]
    sources: tuple[Source, ...]


def scene(value: object, where: str, steps: int) -> Scene | None:
    """Read the `Scene` of a run of `steps` steps, or null."""
    if value is None:
        return None
    fields = Fields(value, where, Scene)
    version = fields.whole("version")
    if version != VERSION:
        problem = f"{quoted(version)}, but this stage3 reads version {VERSION}"
        raise TraceError(
            f"{where}.version", problem, "use the stage3 that wrote it, or record it again"
        )
    kept = fields.whole("kept")
    if kept > min(steps, MOST_KEPT):
        wrong(f"{where}.kept", kept, f"a number of the run's {steps} steps, at most {MOST_KEPT}")
    return Scene(
        version,
        kept,
        fields.rows("holds", _hold_within(kept), MOST_INTERVALS),
        fields.rows("waits", _wait_within(kept), MOST_INTERVALS),
        fields.rows("sources", _source, MOST_SOURCES),
    )


def _hold_within(kept: int) -> Callable[[object, str], Hold]:
    def read(value: object, where: str) -> Hold:
        fields = Fields(value, where, Hold)
        return Hold(fields.text("lock"), fields.text("task"), *_interval(fields, kept))

    return read


def _wait_within(kept: int) -> Callable[[object, str], Wait]:
    def read(value: object, where: str) -> Wait:
        fields = Fields(value, where, Wait)
        task, op, what, owner = map(fields.text, ("task", "op", "object", "owner"))
        return Wait(task, op, what, owner, *_interval(fields, kept))

    return read


def _interval(fields: Fields, kept: int) -> tuple[int, int | None]:
    first, last = fields.whole("first"), fields.whole_or_none("last")
    if first >= kept:
        wrong(fields.path("first"), first, f"one of the {kept} steps that are kept")
    if last is not None and not first <= last < kept:
        wrong(fields.path("last"), last, f"a step from {first} to {kept - 1}")
    return first, last


def _source(value: object, where: str) -> Source:
    fields = Fields(value, where, Source)
    line = as_whole(fields.values["line"], fields.path("line"))
    return Source(fields.text("file"), line, fields.rows("lines", _line, MOST_LINES))


def _line(value: object, where: str) -> str:
    text = as_text(value, where)
    if len(text) > MOST_LINE:
        problem = f"has {len(text)} characters, at most {MOST_LINE}"
        raise TraceError(where, problem, RECORD_AGAIN)
    return text
