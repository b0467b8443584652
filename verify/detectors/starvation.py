"""Starvation: a task wants an object and others get it again and again.

Two things are told. In an execution that does not end under the fair scheduler, a task that waited all the time for
something that those who go round keep taking or signalling is starved: a finding, and as certain as a livelock. A task
that was passed over more than `limit` times before it got a lock, permit or item is noted and no failure: Python's
locks promise no order, and an unfair schedule may pass anybody over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import Detector, Finding, name_of, title_of
from verify.detectors.waiting import is_used, subject_of, titles_of

if TYPE_CHECKING:
    from verify.abc import Cycle, ExecutionView, TaskView

TAKES = frozenset({
    "Lock.acquire", "RLock.acquire", "Semaphore.acquire", "Queue.get", "SimpleQueue.get", "Queue.put", "Condition.wake",
})  # fmt: skip
SLEEPS = frozenset({"Condition.wait", "Event.wait"})
"""Waits that end only when somebody says so: whoever waits for a lock is merely late."""
LIMIT = 100


class Starvation(Detector):
    """Counts how often each waiting task is passed over."""

    name = "starvation"

    def __init__(self, *, limit: int = LIMIT) -> None:
        self.limit = limit
        self.passed: dict[tuple[int, str], int] = {}

    def start(self, execution: ExecutionView) -> None:
        """Forget the last execution."""
        del execution
        self.passed = {}

    def operation(
        self, execution: ExecutionView, task: TaskView, op: str, target: object
    ) -> Finding | None:
        """Count one acquisition for everyone else who wants the object."""
        if op not in TAKES:
            return None
        name = name_of(target)
        self.passed.pop((task.index, name), None)
        for other in execution.tasks:
            if other is task or other.done or other.target is not target or other.op not in TAKES:
                continue
            key = other.index, name
            count = self.passed[key] = self.passed.get(key, 0) + 1
            if count == self.limit:
                return Finding(
                    cause="starvation",
                    message=f"{other.title} waits in {other.op} for {title_of(target)} and was passed over "
                    f"{count:,} times, last by {task.title}",
                    key=(other.op, execution.site_of(other)),
                    culprits=(other.path,),
                    fatal=False,
                )
        return None

    def endless(self, execution: ExecutionView, cycle: Cycle | None) -> Finding | None:
        """Look for a task that stood still all the time, waiting for what the others use."""
        if cycle is None or cycle.changing:
            return None
        moving = {step.task for step in cycle.steps}
        for task in execution.tasks:
            if task.daemon or task.path in moving or task.op not in SLEEPS:
                continue
            if is_used(execution, task, cycle):
                titles = titles_of(execution, cycle)
                return Finding(
                    cause="starvation",
                    message=f"{task.title} waits in {task.op} for {subject_of(execution, task)} while {titles} go on "
                    f"using it, for ever in the same {len(cycle.steps):,} steps under a fair scheduler",
                    key=(task.op, execution.site_of(task)),
                    culprits=(task.path,),
                )
        return None
