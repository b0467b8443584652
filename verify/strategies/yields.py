"""Who has given way, and what a choice costs: what strategies ask so that a loop which polls lets the others run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import T, TaskView


def gave_way(task: TaskView, seen: dict[int, int]) -> bool:
    """Say whether `task` has given way (a sleep, a failed try, a time-out) since this was last asked.

    `seen` is the caller's, by task index, and empty at the start of an execution.
    """
    yields = task.yields
    if yields and yields != seen.get(task.index):
        seen[task.index] = yields
        return True
    return False


def in_turn(enabled: Sequence[T], current: T) -> list[T]:
    """Return the enabled tasks in turn behind `current`: those that only a timer lets go on later, itself last."""
    turn = [task for task in enabled if task.index > current.index]
    turn += [task for task in enabled if task.index <= current.index]
    turn.sort(key=lambda task: (task is current, not task.runnable))
    return turn


def alternatives(enabled: Sequence[T], current: T, seen: dict[int, int]) -> tuple[list[T], int]:
    """Return the enabled tasks in order of what they cost, and how many of them are free.

    The first is who goes on by default; one beyond the free ones is a preemption: it leaves a task
    that could go on, or fires a timer while a task could go on without it. `seen` is as for
    `gave_way`, which is asked, so ask once a choice.
    """
    if gave_way(current, seen):
        return in_turn(enabled, current), 1
    if current.runnable and not current.done:
        return [current, *(task for task in enabled if task is not current)], 1
    ready = [task for task in enabled if task.runnable]
    if not ready:
        return list(enabled), len(enabled)
    return [*ready, *(task for task in enabled if not task.runnable)], len(ready)
