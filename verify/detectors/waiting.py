"""Who waits for whom: the questions that the detectors of hangs ask of an execution. Pure reading."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import name_of, title_of

if TYPE_CHECKING:
    from verify.abc import Cycle, ExecutionView, TaskView


def blocked(execution: ExecutionView) -> list[TaskView]:
    """Return the tasks that wait for something, in creation order."""
    return [task for task in execution.tasks if execution.waits_for(task) is not None]


def owner_of(execution: ExecutionView, task: TaskView) -> TaskView | None:
    """Return who alone could let `task` go on, if there is one; nobody where its wait ends by itself."""
    waits = execution.waits_for(task)
    return waits[1] if waits is not None and task.deadline is None else None


def cycle_of(execution: ExecutionView) -> list[TaskView]:
    """Return a cycle of tasks, each waiting for what the next one alone can give, or nothing."""
    for start in blocked(execution):
        path = [start]
        task = owner_of(execution, start)
        while task is not None and task not in path:
            path.append(task)
            task = owner_of(execution, task)
        if task is not None:
            return path[path.index(task) :]
    return []


def dead_owner(execution: ExecutionView) -> tuple[TaskView, TaskView] | None:
    """Return a task that waits for one that has ended, and that one."""
    for task in blocked(execution):
        owner = owner_of(execution, task)
        if owner is not None and owner.done:
            return task, owner
    return None


def only_daemons_move(execution: ExecutionView, cycle: Cycle) -> bool:
    """Say whether every task that has to end stands still while the others go round."""
    moving = {step.task for step in cycle.steps}
    return all(task.done or task.daemon or task.path not in moving for task in execution.tasks)


def is_used(execution: ExecutionView, task: TaskView, cycle: Cycle | None) -> bool:
    """Say whether a step of the cycle is on what `task` waits for; a condition's lock counts as the condition."""
    waits = execution.waits_for(task)
    if waits is None or cycle is None:
        return False
    lock = getattr(waits[0], "lock", None)
    names = {name_of(waits[0])} | ({name_of(lock)} if lock is not None else set())
    return any(step.object in names for step in cycle.steps)


def titles_of(execution: ExecutionView, cycle: Cycle) -> str:
    """Return who goes round."""
    moving = {step.task for step in cycle.steps}
    return ", ".join(task.title for task in execution.tasks if task.path in moving)


def subject_of(execution: ExecutionView, task: TaskView) -> str:
    """Return what `task` waits for, in words."""
    waits = execution.waits_for(task)
    return title_of(waits[0]) if waits is not None else title_of(task.target)
