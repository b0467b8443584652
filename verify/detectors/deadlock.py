"""Deadlock: no task can go on; or some never will, whatever the others do (a partial deadlock).

Finds: a cycle in the wait-for graph (each waits for what the next one alone can give), a task that
waits for itself, a lock whose holder has ended, a wait for a notification or a byte that nobody is
left to send. The verdict names the most specific of these. A cycle of locks taken by `with` is found at
once, whoever else runs; other partial deadlocks when the step bound is reached and the rest goes round
for ever under the fair scheduler. Threads that idle by design (a main loop
in `select`, a worker on its queue) are blocked too at such a moment; they are listed, not blamed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from verify.abc import Detector, Finding
from verify.detectors.lost_wakeup import LostWakeup
from verify.detectors.waiting import (
    blocked,
    cycle_of,
    dead_owner,
    is_used,
    only_daemons_move,
    subject_of,
    titles_of,
)

if TYPE_CHECKING:
    from verify.abc import Cycle, ExecutionView, TaskView

IDLE = ("Selector.select", "Queue.get", "SimpleQueue.get", "socket.accept")


class Deadlock(Detector):
    """Judges executions in which no task can go on, or in which some never will while others do."""

    name = "deadlock"

    def stuck(self, execution: ExecutionView) -> Finding:
        """Find out who waits for whom and name the cause class."""
        return (
            self._cycle(execution)
            or self._dead_owner(execution)
            or LostWakeup().stuck(execution)
            or self._nobody_left(execution, blocked(execution))
        )

    def endless(self, execution: ExecutionView, cycle: Cycle | None) -> Finding | None:
        """Look for a partial deadlock: the others go round for ever, those who wait for each other stand still."""
        if cycle is None:
            return None
        more = f"; {titles_of(execution, cycle)} go on for ever meanwhile"
        still = [task for task in blocked(execution) if not is_used(execution, task, cycle)]
        found = self._cycle(execution) or self._dead_owner(execution)
        if found is not None and {task.path for task in still}.issuperset(found.culprits[:1]):
            return replace(found, message=f"{found.message}{more}")
        settled = not cycle.changing and only_daemons_move(execution, cycle)
        if not settled or all(task.daemon for task in still):
            return None
        return LostWakeup().endless(execution, cycle) or self._nobody_left(execution, still, more)

    def _cycle(self, execution: ExecutionView) -> Finding | None:
        cycle = cycle_of(execution)
        return self._of_cycle(execution, cycle) if cycle else None

    def _of_cycle(self, execution: ExecutionView, cycle: list[TaskView]) -> Finding:
        edges = tuple(
            f"{task.title} waits in {task.op} for {subject_of(execution, task)}, which is {_whose(execution, task)}"
            for task in cycle
        )
        key = tuple(sorted(f"{task.op} at {execution.site_of(task)}" for task in cycle))
        culprits = tuple(task.path for task in cycle)
        if len(cycle) == 1:
            task = cycle[0]
            return Finding(
                cause="self-deadlock",
                message=f"{task.title} waits for {subject_of(execution, task)}, which it holds itself",
                key=key, details=edges, cycle=(task.title,), culprits=culprits,
            )  # fmt: skip
        circle = (*(task.title for task in cycle), cycle[0].title)
        return Finding(
            cause="deadlock", message=f"{len(cycle)} tasks wait for each other: {' -> '.join(circle)}",
            key=key, details=edges, cycle=circle, culprits=culprits,
        )  # fmt: skip

    @staticmethod
    def _dead_owner(execution: ExecutionView) -> Finding | None:
        pair = dead_owner(execution)
        if pair is None:
            return None
        task, owner = pair
        return Finding(
            cause="lock held by a dead thread",
            message=f"{task.title} waits for {subject_of(execution, task)}, "
            f"whose holder {owner.title} has ended without giving it back",
            key=(f"{task.op} at {execution.site_of(task)}",),
            culprits=(task.path, owner.path),
        )

    @staticmethod
    def _nobody_left(
        execution: ExecutionView,
        blocked: list[TaskView],
        more: str = "; no task is left that could go on",
    ) -> Finding:
        guilty = [task for task in blocked if task.op not in IDLE and not task.daemon]
        guilty = guilty or [task for task in blocked if not task.daemon] or blocked
        return Finding(
            cause="blocked for ever",
            message=" and ".join(
                f"{task.title} waits in {task.op} for {subject_of(execution, task)}"
                for task in guilty
            )
            + more,
            key=tuple(sorted(f"{task.op} at {execution.site_of(task)}" for task in guilty)),
            culprits=tuple(task.path for task in guilty),
        )


def _whose(execution: ExecutionView, task: TaskView) -> str:
    waits = execution.waits_for(task)
    owner = waits[1] if waits is not None else None
    if owner is None:
        return "nobody's"
    if task.op.startswith("socket."):
        return f"for {owner.title} to serve"
    return f"{owner.title}'s"
