"""The recorded interleaving: schedule, steps, tasks and failure as plain values, and their JSON.

Promises: every value is immutable and holds nothing live; `from_json(to_json(trace)) == trace`;
`from_json` takes text from anywhere and either returns a trace whose every field has its type and
keeps its bound, or raises `TraceError` naming the field and the remedy. The text is ASCII, one step
a line, the same for the same trace.
Assumes nothing of whoever recorded it. Does no I/O (that is `store`) and runs no program.

A run is its schedule: `Trace.schedule` alone replays it; the rest says what happened when it ran.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from traces import anchors as anchoring
from traces import explanation as explaining
from traces import scene as scenes
from traces import turning as turnings
from traces._fields import MOST_TEXT, RECORD_AGAIN, Fields, as_text, as_whole, parse, wrong
from traces.errors import TraceError, quoted
from traces.frames import MOST_FRAMES, Frame, as_frame

if TYPE_CHECKING:
    from collections.abc import Mapping

    from traces.anchors import Anchors
    from traces.explanation import Explanation, Shrunk
    from traces.scene import Scene
    from traces.turning import Turning

__all__ = [
    "FORMAT",
    "MOST_CHARACTERS",
    "MOST_CHOICES",
    "MOST_STEPS",
    "MOST_TEXT",
    "VERSION",
    "Failure",
    "Frame",
    "HeldLock",
    "Program",
    "Schedule",
    "Step",
    "TaskRecord",
    "Trace",
    "TraceError",
    "from_json",
    "program_of",
    "to_json",
]

FORMAT = "stage3-trace"
VERSION = 1

MOST_CHARACTERS = 256 * 1024 * 1024
MOST_CHOICES = 1_000_000
MOST_STEPS = 1_000_000
MOST_TASKS = 10_000
MOST_LINES = 10_000

_DIGEST = re.compile(r"[0-9a-f]{16,128}")
_PYTHON = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}(\.[!-~]{1,30})?")
_GRANULARITY = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True)
class Schedule:
    """The choices of one run, in order: all that is needed to run it again.

    A choice is 0 for "go on with the current task", else the k-th other enabled task in creation
    order; where the program under test drew a random value, it is that value.
    """

    choices: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation of one task.

    `index` counts from 0; `task` is the creation path (`main/1`); `op` and `object` are what it did
    to what, by stable names; `site` is `file:line function` of the program under test, or "";
    `result` is how it ended, or ""; `time` is virtual seconds since the start; `switch` says that
    it is the first step after a preemption; `choice` is the schedule's choice that let it run, None
    where there was nothing to choose.
    """

    index: int
    task: str
    op: str
    object: str
    site: str
    result: str
    time: float
    switch: bool
    choice: int | None


@dataclass(frozen=True, slots=True)
class HeldLock:
    """A lock held when the run ended, and where it was acquired (`file:line function`, or "")."""

    name: str
    site: str


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """One task at the end of the run.

    `path` is its creation path, `name` what the program calls it (`migration`), `role` its part in
    the program or "", `state` one of the runtime's words (`blocked`, `finished`), `waits_for` what
    it is blocked on or "". `stack` has the most recent call last.
    """

    path: str
    name: str
    role: str
    state: str
    waits_for: str
    held: tuple[HeldLock, ...]
    stack: tuple[Frame, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """What was wrong with the run.

    `cause` is the cause class (`deadlock`, `spin`, `lost wake-up`, `lock held by a dead thread`,
    `self-deadlock`, `livelock`, `uncaught exception`, `broken invariant`, `lock order`), `message`
    one sentence, `details` further lines, `cycle` the wait-for cycle where there is one, and `key`
    what makes two failures the same finding.
    """

    cause: str
    message: str
    details: tuple[str, ...]
    cycle: tuple[str, ...]
    key: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """What ran: `target` as `module:function`, and all that its schedule depends on.

    `digest` is lower-case hex of at least 8 bytes over the program's code; `python` and `stage3`
    are versions; `granularity` says where scheduling points lie; `options` are the settings given.
    """

    target: str
    digest: str
    python: str
    stage3: str
    granularity: str
    options: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Trace:
    """One run: what ran, its schedule, what happened, and how it ended (`failure` None: well).

    `titles` maps stable names of objects to what the program calls them; the last step is where a
    failure showed. `strategy` and `seed` say how the schedule was found, `shrunk` what shrinking made
    of it, and `explanation` which orders make it fail (None where nobody looked); `anchors` tell its steps by
    what survives edits, `scene` who held and who waited between them, `turning` which choice decided. The last five
    may be missing from a file: traces had none at first.
    """

    program: Program
    schedule: Schedule
    steps: tuple[Step, ...]
    tasks: tuple[TaskRecord, ...]
    failure: Failure | None
    strategy: str
    seed: int
    titles: Mapping[str, str] = field(default_factory=dict, hash=False)
    shrunk: Shrunk | None = None
    explanation: Explanation | None = None
    anchors: Anchors | None = None
    scene: Scene | None = None
    turning: Turning | None = None


LATER = ("shrunk", "explanation", "anchors", "scene", "turning")


def to_json(trace: Trace) -> str:
    """Return the text of a trace file: ASCII, one step and one task a line."""
    parts = {"format": FORMAT, "version": VERSION, **asdict(trace)}
    return "{\n" + ",\n".join(_member(name, value) for name, value in parts.items()) + "\n}\n"


def from_json(text: str) -> Trace:
    """Return the trace that `text` holds; raise `TraceError` for what `to_json` cannot write."""
    if len(text) > MOST_CHARACTERS:
        problem = f"has {len(text)} characters, at most {MOST_CHARACTERS}"
        raise TraceError("trace", problem, RECORD_AGAIN)
    value = parse(text)
    _check_version(value)
    top = Fields(value, "", Trace, extra=("format", "version"), optional=LATER)
    steps = top.rows("steps", _step, MOST_STEPS)
    trace = Trace(
        program=program_of(top.values["program"], "program"),
        schedule=_schedule(top.values["schedule"], "schedule"),
        steps=steps,
        tasks=top.rows("tasks", _task, MOST_TASKS),
        failure=_failure(top.values["failure"], "failure"),
        strategy=top.text("strategy"),
        seed=top.whole("seed"),
        titles=top.texts("titles", MOST_STEPS),
        shrunk=explaining.shrunk(top.values.get("shrunk"), "shrunk"),
        explanation=explaining.explanation(top.values.get("explanation"), "explanation"),
        anchors=anchoring.anchors(top.values.get("anchors"), "anchors"),
        scene=scenes.scene(top.values.get("scene"), "scene", len(steps)),
        turning=turnings.turning(top.values.get("turning"), "turning", len(steps)),
    )
    for place, step in enumerate(trace.steps):
        if step.index != place:
            wrong(f"steps[{place}].index", step.index, f"{place}, its place in the list")
    return trace


def _member(name: str, value: object) -> str:
    """Return one top-level member: a list of objects takes a line for each."""
    if isinstance(value, tuple) and value:
        rows = ",\n".join("  " + json.dumps(row, allow_nan=False) for row in value)
        return f' "{name}": [\n{rows}\n ]'
    return f' "{name}": {json.dumps(value, allow_nan=False)}'


def _check_version(value: object) -> None:
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise TraceError("format", f'this is not a "{FORMAT}" file', "give a file stage3 wrote")
    version = value.get("version")
    if isinstance(version, bool) or version != VERSION:
        problem = f"{quoted(version)}, but this stage3 reads version {VERSION}"
        raise TraceError("version", problem, "use the stage3 that wrote it, or record it again")


def _schedule(value: object, where: str) -> Schedule:
    return Schedule(choices=Fields(value, where, Schedule).rows("choices", as_whole, MOST_CHOICES))


def _step(value: object, where: str) -> Step:
    fields = Fields(value, where, Step)
    return Step(
        index=fields.whole("index"),
        task=fields.text("task"),
        op=fields.text("op"),
        object=fields.text("object"),
        site=fields.text("site"),
        result=fields.text("result"),
        time=fields.seconds("time"),
        switch=fields.flag("switch"),
        choice=fields.whole_or_none("choice"),
    )


def _held(value: object, where: str) -> HeldLock:
    fields = Fields(value, where, HeldLock)
    return HeldLock(name=fields.text("name"), site=fields.text("site"))


def _task(value: object, where: str) -> TaskRecord:
    fields = Fields(value, where, TaskRecord)
    return TaskRecord(
        path=fields.text("path"),
        name=fields.text("name"),
        role=fields.text("role"),
        state=fields.text("state"),
        waits_for=fields.text("waits_for"),
        held=fields.rows("held", _held, MOST_LINES),
        stack=fields.rows("stack", as_frame, MOST_FRAMES),
    )


def _failure(value: object, where: str) -> Failure | None:
    if value is None:
        return None
    fields = Fields(value, where, Failure)
    return Failure(
        cause=fields.text("cause"),
        message=fields.text("message"),
        details=fields.rows("details", as_text, MOST_LINES),
        cycle=fields.rows("cycle", as_text, MOST_LINES),
        key=fields.rows("key", as_text, MOST_LINES),
    )


def program_of(value: object, where: str) -> Program:
    """Return the program that parsed JSON at path `where` holds; raise `TraceError`."""
    fields = Fields(value, where, Program)
    digest = fields.text("digest")
    if not _DIGEST.fullmatch(digest):
        wrong(f"{where}.digest", digest, "16 to 128 lower-case hexadecimal digits")
    python = fields.text("python")
    if not _PYTHON.fullmatch(python):
        wrong(f"{where}.python", python, "a version such as 3.11.7")
    granularity = fields.text("granularity")
    if not _GRANULARITY.fullmatch(granularity):
        wrong(f"{where}.granularity", granularity, "1 to 255 printable characters without spaces")
    return Program(
        target=fields.text("target"),
        digest=digest,
        python=python,
        stage3=fields.text("stage3"),
        granularity=granularity,
        options=fields.texts("options", MOST_LINES),
    )
