"""Lost wake-up: a task waits for a notification or an event, and nobody is left who could give it.

Promises: when nothing can go on, or only daemons that do not wake it, the finding names who waits where, which
notifications came while nobody waited (or that an event was set and cleared again), by whom and at which step, and for
every other task why it cannot notify any more. Both are exact: no schedule goes on from there. The account of
earlier notifications is kept by the models in the run that is recorded; a search pays nothing for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import Detector, Finding, title_of
from verify.detectors.waiting import (
    cycle_of,
    dead_owner,
    is_used,
    only_daemons_move,
    subject_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import Cycle, ExecutionView, TaskView

WAKE_UPS = ("Condition.wait", "Event.wait")
MOST_TOLD = 6  # notifications of one object, the last ones


class LostWakeup(Detector):
    """Judges executions in which somebody sleeps for ever; a wait-for cycle or a dead owner says more."""

    name = "lost wake-up"

    def stuck(self, execution: ExecutionView) -> Finding | None:
        """Look for a sleeper where no task can go on."""
        return _judge(execution, "")

    def endless(self, execution: ExecutionView, cycle: Cycle | None) -> Finding | None:
        """Look for a sleeper where only daemons go on, for ever."""
        if cycle is None or cycle.changing or not only_daemons_move(execution, cycle):
            return None
        return _judge(execution, "; only daemons go on", cycle)


def _judge(execution: ExecutionView, more: str, cycle: Cycle | None = None) -> Finding | None:
    if cycle_of(execution) or dead_owner(execution):
        return None
    waiting = [
        task
        for task in execution.tasks
        if task.op in WAKE_UPS
        and execution.waits_for(task) is not None
        and task.deadline is None
        and not is_used(execution, task, cycle)
    ]
    if not waiting:
        return None
    # The program's own wait comes first; a wait on a condition says more than one on an event.
    waiting.sort(key=lambda task: (task.daemon, task.op != "Condition.wait"))
    guilty = [task for task in waiting if not task.daemon] or waiting
    task = guilty[0]
    return Finding(
        cause="lost wake-up",
        message=f"{task.title} waits in {task.op} for {subject_of(execution, task)}, "
        f"and nobody is left to wake it{more}",
        key=tuple(sorted(f"{each.op} at {execution.site_of(each)}" for each in guilty)),
        details=(
            *(line for each in waiting for line in _of_waiter(execution, each)),
            *_others(execution, waiting),
        ),
        culprits=tuple(each.path for each in guilty),
    )


def _of_waiter(execution: ExecutionView, task: TaskView) -> list[str]:
    waits = execution.waits_for(task)
    subject = waits[0] if waits is not None else None
    lost = getattr(subject, "lost", 0)
    note = f"; it was notified {lost} times while nobody waited" if lost else ""
    history: Sequence[str] = getattr(subject, "history", ())
    earlier = [f"  {line}" for line in history[-MOST_TOLD:]]
    return [f"{task.title} waits in {task.op} for {title_of(subject)}{note}", *earlier]


def _others(execution: ExecutionView, waiting: list[TaskView]) -> list[str]:
    """Say of everyone else why no wake-up can come from there."""
    told = []
    for task in execution.tasks:
        if task in waiting:
            continue
        if task.done:
            told.append(f"{task.title} cannot wake it: it has ended")
        elif execution.waits_for(task) is not None:
            subject = subject_of(execution, task)
            told.append(f"{task.title} cannot wake it: it waits in {task.op} for {subject}")
        else:
            told.append(f"{task.title} does not wake it: it goes on in {task.op}")
    return told
