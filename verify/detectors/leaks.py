"""Leaked threads: who still runs when the main task has returned.

Promises: threads are listed that nobody waited for and that had not ended when the main task did, with the place
that started each. Does not judge whether that was meant: a daemon thread that serves until the process ends is
listed as well, so the detector is on request. A thread that ended by itself before that is no leak, joined or not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import FINISHED, Detector, Finding

if TYPE_CHECKING:
    from verify.abc import ExecutionView, TaskView


class Leaks(Detector):
    """Finds the threads that outlive the main task."""

    name = "leaks"

    def __init__(self) -> None:
        self.started: dict[int, str] = {}
        self.left: list[tuple[TaskView, str]] = []

    def start(self, execution: ExecutionView) -> None:
        """Forget the last execution."""
        del execution
        self.started = {}
        self.left = []

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Remember where each thread is started: the next task to be made is the one."""
        del target
        if op == "Thread.start":
            self.started[len(execution.tasks)] = execution.site_of(task)

    def aside(self, execution: ExecutionView, task: TaskView, what: str) -> None:
        """When the main task ends, see who is left."""
        if what == FINISHED and task.index == 0:
            self.left = [(other, other.op) for other in execution.tasks[1:] if not other.done]

    def end(self, execution: ExecutionView) -> Finding | None:
        """Tell who was left."""
        del execution
        if not self.left:
            return None
        sites = [self.started.get(task.index, "") for task, _ in self.left]
        told = [
            f"{task.title}{' (a daemon)' if task.daemon else ''}, started at {site}, was in {op}"
            for (task, op), site in zip(self.left, sites, strict=True)
        ]
        return Finding(
            cause="leaked thread",
            message=f"main returned while {len(told)} of its threads still ran: {told[0]}",
            key=tuple(sorted(set(sites))),
            details=tuple(told[1:]),
            culprits=tuple(task.path for task, _ in self.left),
        )
