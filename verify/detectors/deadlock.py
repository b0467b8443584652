"""Deadlock: no task can go on.

Finds: a cycle in the wait-for graph (each waits for what the next one alone can give), a task that
waits for itself, a lock whose holder has ended, a wait for a notification or a byte that nobody is
left to send. The verdict names the most specific of these. Threads that idle by design (a main loop
in `select`, a worker on its queue) are blocked too at such a moment; they are listed, not blamed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import Detector, Finding, title_of

if TYPE_CHECKING:
    from verify.abc import ExecutionView, TaskView

WAKE_UPS = ("Condition.wait", "Event.wait")
IDLE = ("Selector.select", "Queue.get", "SimpleQueue.get", "socket.accept")


class Deadlock(Detector):
    """Judges executions in which no task can go on."""

    name = "deadlock"

    def stuck(self, execution: ExecutionView) -> Finding:
        """Find out who waits for whom and name the cause class."""
        blocked = [task for task in execution.tasks if execution.waits_for(task) is not None]
        return (
            self._cycle(execution, blocked)
            or self._dead_owner(execution, blocked)
            or self._lost_wakeup(execution, blocked)
            or self._nobody_left(execution, blocked)
        )

    @staticmethod
    def _owner(execution: ExecutionView, task: TaskView) -> TaskView | None:
        waits = execution.waits_for(task)
        return waits[1] if waits is not None else None

    def _cycle(self, execution: ExecutionView, blocked: list[TaskView]) -> Finding | None:
        for start in blocked:
            path = [start]
            task = self._owner(execution, start)
            while task is not None and task not in path:
                path.append(task)
                task = self._owner(execution, task)
            if task is None:
                continue
            return self._of_cycle(execution, path[path.index(task) :])
        return None

    def _of_cycle(self, execution: ExecutionView, cycle: list[TaskView]) -> Finding:
        edges = tuple(
            f"{task.title} waits in {task.op} for {_subject(execution, task)}, which is {_whose(execution, task)}"
            for task in cycle
        )
        key = tuple(sorted(f"{task.op} at {execution.site_of(task)}" for task in cycle))
        culprits = tuple(task.path for task in cycle)
        if len(cycle) == 1:
            task = cycle[0]
            return Finding(
                cause="self-deadlock",
                message=f"{task.title} waits for {_subject(execution, task)}, which it holds itself",
                key=key, details=edges, cycle=(task.title,), culprits=culprits,
            )  # fmt: skip
        circle = (*(task.title for task in cycle), cycle[0].title)
        return Finding(
            cause="deadlock", message=f"{len(cycle)} tasks wait for each other: {' -> '.join(circle)}",
            key=key, details=edges, cycle=circle, culprits=culprits,
        )  # fmt: skip

    def _dead_owner(self, execution: ExecutionView, blocked: list[TaskView]) -> Finding | None:
        for task in blocked:
            owner = self._owner(execution, task)
            if owner is not None and owner.done:
                subject = _subject(execution, task)
                return Finding(
                    cause="lock held by a dead thread",
                    message=f"{task.title} waits for {subject}, "
                    f"whose holder {owner.title} has ended without giving it back",
                    key=(f"{task.op} at {execution.site_of(task)}",),
                    culprits=(task.path, owner.path),
                )
        return None

    def _lost_wakeup(self, execution: ExecutionView, blocked: list[TaskView]) -> Finding | None:
        waiting = [task for task in blocked if task.op in WAKE_UPS]
        if not waiting:
            return None
        # The program's own wait comes first; a wait on a condition says more than one on an event.
        waiting.sort(key=lambda task: (task.daemon, task.op != "Condition.wait"))
        guilty = [task for task in waiting if not task.daemon] or waiting
        details = []
        for task in waiting:
            waits = execution.waits_for(task)
            subject = waits[0] if waits is not None else None
            lost = getattr(subject, "lost", 0)
            note = f"; it was notified {lost} times while nobody waited" if lost else ""
            details.append(f"{task.title} waits in {task.op} for {title_of(subject)}{note}")
        task = guilty[0]
        return Finding(
            cause="lost wake-up",
            message=f"{task.title} waits in {task.op} for {_subject(execution, task)}, and nobody is left to wake it",
            key=tuple(sorted(f"{each.op} at {execution.site_of(each)}" for each in guilty)),
            details=tuple(details),
            culprits=tuple(each.path for each in guilty),
        )

    def _nobody_left(self, execution: ExecutionView, blocked: list[TaskView]) -> Finding:
        guilty = [task for task in blocked if task.op not in IDLE and not task.daemon]
        guilty = guilty or [task for task in blocked if not task.daemon] or blocked
        return Finding(
            cause="blocked for ever",
            message=" and ".join(
                f"{task.title} waits in {task.op} for {_subject(execution, task)}"
                for task in guilty
            )
            + "; no task is left that could go on",
            key=tuple(sorted(f"{task.op} at {execution.site_of(task)}" for task in guilty)),
            culprits=tuple(task.path for task in guilty),
        )


def _subject(execution: ExecutionView, task: TaskView) -> str:
    waits = execution.waits_for(task)
    return title_of(waits[0]) if waits is not None else title_of(task.target)


def _whose(execution: ExecutionView, task: TaskView) -> str:
    waits = execution.waits_for(task)
    owner = waits[1] if waits is not None else None
    if owner is None:
        return "nobody's"
    if task.op.startswith("socket."):
        return f"for {owner.title} to serve"
    return f"{owner.title}'s"
