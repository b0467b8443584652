"""Spin: a loop that performs no operation and does not end.

The runtime counts backward jumps between operations; a task that uses up its budget is judged here.
The verdict names the loop, the locks the spinning task holds and who waits for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import Detector, Finding

if TYPE_CHECKING:
    from verify.abc import ExecutionView, TaskView


class Spin(Detector):
    """Judges tasks that loop without an operation."""

    name = "spin"

    def spinning(self, execution: ExecutionView, task: TaskView, jumps: int) -> Finding:
        """Name the loop, what is held and who waits for it."""
        site = execution.site_of(task)
        held = execution.held_by(task)
        titles = ", ".join(lock.title for lock in held) or "no lock"
        waiting = []
        for other in execution.tasks:
            waits = execution.waits_for(other)
            if waits is not None and waits[1] is task:
                waiting.append(
                    f"{other.title} waits in {other.op} for {getattr(waits[0], 'title', waits[0])}"
                )
        return Finding(
            cause="spin",
            message=f"{task.title} loops at {site} without any operation ({jumps:,} backward jumps), holding {titles}",
            key=(f"loop at {_function(site)}",),
            details=tuple(waiting),
            culprits=(task.path,),
        )


def _function(site: str) -> str:
    """Drop the line: the count may run out on any line of the loop's body."""
    place, _, function = site.partition(" ")
    return f"{place.rpartition(':')[0]} {function}"
