"""Running a schedule once more with every listener on: steps, sites, stacks.

Promises: the recorded run is an ordinary execution, so what it shows is what happened; exploration
itself keeps only the choices. Stacks are taken while every task still stands where it failed.
"""

from __future__ import annotations

import linecache
import platform
import traceback
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, cast

from traces import schema
from verify.abc import HALT, Detector, name_of, title_of
from verify.durable.anchoring import Anchoring
from verify.runtime.naming import Named
from verify.sites import frames, is_framework, short
from verify.staging import Staging

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

    from verify.abc import ExecutionView, Finding, TaskView
    from verify.program import Program
    from verify.runtime.execution import Execution
    from verify.runtime.task import Task

TAKES = frozenset(
    {"Lock.acquire", "Lock.try_acquire", "RLock.acquire", "RLock.try_acquire", "Condition.wake"}
)


class Recorder(Detector):
    """Keeps every step as it takes effect, and where each lock was last taken."""

    name = "recorder"

    def __init__(self) -> None:
        self.steps: list[schema.Step] = []
        self.taken_at: dict[int, str] = {}
        self.titles: dict[str, str] = {}
        self.choices_seen = 0
        self.last: TaskView | None = None
        self.records: tuple[schema.TaskRecord, ...] = ()
        self.anchoring = Anchoring()
        self.staging = Staging()

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Append one step."""
        site = execution.site_of(task)
        name = name_of(target)
        last = self.last
        choices = execution.choices
        choice = choices[-1] if len(choices) > self.choices_seen else None
        self.choices_seen = len(choices)
        switch = last is not None and last is not task and last.runnable and not last.done
        self.steps.append(
            schema.Step(
                len(self.steps), task.path, op, name, site, "", execution.now, switch, choice
            )
        )
        self.last = task
        self.anchoring.step(execution, task, op, target)
        self.staging.step(execution, op, target)
        if isinstance(target, Named):
            self.titles[name] = target.title
            if op in TAKES:
                self.taken_at[id(target)] = site

    def outcome(
        self, execution: ExecutionView, task: TaskView, op: str, target: object, *, result: bool
    ) -> None:
        """Add how the task's last step ended."""
        del execution, op, target
        for place in range(len(self.steps) - 1, -1, -1):
            step = self.steps[place]
            if step.task == task.path:
                self.steps[place] = schema.Step(
                    step.index,
                    step.task,
                    step.op,
                    step.object,
                    step.site,
                    str(result),
                    step.time,
                    step.switch,
                    step.choice,
                )
                return

    def aside(self, execution: ExecutionView, task: TaskView, what: str) -> None:
        """At the end of a run that nothing was found in, keep what every task is doing."""
        del task
        if what == HALT and self.steps and not self.records:
            self.snapshot(cast("Execution", execution))

    def snapshot(self, execution: Execution) -> None:
        """Keep what every task is doing; called while all of them still stand."""
        self.records = tuple(self._task(execution, task) for task in execution.tasks)
        self.anchoring.snapshot(execution)
        self.staging.look(execution)

    def _task(self, execution: Execution, task: Task) -> schema.TaskRecord:
        waits = execution.waits_for(task)
        held = tuple(
            schema.HeldLock(lock.title, self.taken_at.get(id(lock), ""))
            for lock in execution.held_by(task)
        )
        return schema.TaskRecord(
            path=task.path,
            name=task.title,
            role="daemon" if task.daemon else "",
            state=_state(execution, task),
            waits_for=_waits_text(task, waits),
            held=held,
            stack=stack_of(execution, task),
        )


def _state(execution: Execution, task: Task) -> str:
    if task.done:
        return "raised" if task.exception is not None else "finished"
    if task.deadline is not None and not task.runnable:
        return "timed wait"
    if execution.waits_for(task) is not None:
        return "blocked"
    return "running" if task is execution.current else "runnable"


def _waits_text(task: Task, waits: tuple[object, Task | None] | None) -> str:
    if waits is None:
        return ""
    owner = waits[1]
    text = f"{title_of(waits[0])} in {task.op}"
    if owner is None:
        return text
    if task.op.startswith("socket."):
        return f"{text}, last served by {owner.title}"
    if task.op == "Thread.join":
        return f"the end of {owner.title} in {task.op}"
    return f"{text}, held by {owner.title}"


def stack_of(execution: Execution, task: Task) -> tuple[schema.Frame, ...]:
    """Return where a task stands, or where its exception came from; the most recent call last."""
    if task.exception is not None and task.exception.__traceback__ is not None:
        return tuple(
            schema.Frame(
                short(entry.filename), entry.lineno or 0, entry.name, (entry.line or "").strip()
            )
            for entry in traceback.extract_tb(task.exception.__traceback__)
            if not is_framework(entry.filename)
        )
    if task.done:
        return ()
    return tuple(reversed([_frame(frame) for frame in frames(execution.frame_of(task))]))


def _frame(frame: FrameType) -> schema.Frame:
    code = frame.f_code
    source = linecache.getline(code.co_filename, frame.f_lineno).strip()
    return schema.Frame(short(code.co_filename), frame.f_lineno, code.co_qualname, source)


def failure_of(finding: Finding | None) -> schema.Failure | None:
    """Return a finding as the trace keeps it."""
    if finding is None:
        return None
    return schema.Failure(
        finding.cause,
        finding.message,
        finding.details,
        finding.cycle,
        (finding.cause, *finding.key),
    )


def program_of(program: Program) -> schema.Program:
    """Return what the trace says of the program."""
    return schema.Program(
        target=program.target,
        digest=program.digest,
        python=platform.python_version(),
        stage3=own_version(),
        granularity=program.settings.granularity,
        options=dict(program.options),
    )


def own_version() -> str:
    """Return the version of this distribution."""
    try:
        return version("stage3")
    except PackageNotFoundError:
        return "0+unknown"


@dataclass(frozen=True, slots=True)
class Origin:
    """How a schedule was found."""

    strategy: str
    seed: int


def trace_of(
    program: Program,
    recorder: Recorder,
    choices: Sequence[int],
    finding: Finding | None,
    origin: Origin,
) -> schema.Trace:
    """Put a recorded run together."""
    return schema.Trace(
        program=program_of(program),
        schedule=schema.Schedule(tuple(choices)),
        steps=tuple(recorder.steps),
        tasks=recorder.records,
        failure=failure_of(finding),
        strategy=origin.strategy,
        seed=origin.seed,
        titles=recorder.staging.titles | recorder.titles,
        anchors=recorder.anchoring.anchors(finding),
        scene=recorder.staging.scene(_sites(recorder)),
    )


def _sites(recorder: Recorder) -> list[str]:
    """Return where the steps are, and where the tasks stand at the end."""
    steps = [step.site for step in recorder.steps]
    return [*steps, *(f"{f.file}:{f.line}" for task in recorder.records for f in task.stack)]
