"""Who has given way: what strategies ask so that a loop which polls lets the others run."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from verify.abc import TaskView


def gave_way(task: TaskView, seen: dict[int, int]) -> bool:
    """Say whether `task` has given way (a sleep, a failed try, a time-out) since this was last asked.

    `seen` is the caller's, by task index, and empty at the start of an execution.
    """
    yields = task.yields
    if yields and yields != seen.get(task.index):
        seen[task.index] = yields
        return True
    return False
