"""Declared lock order: a lock is taken only while every lock held is declared to come before it.

The program declares its locks from outermost to innermost, by the titles under which it labels
them; locks that are not declared are not judged. A violation is noted with the site and thread of
both acquisitions, and the execution goes on: it may be a deadlock in another schedule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import Detector, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import ExecutionView, TaskView

TAKES = frozenset({"Lock.acquire", "RLock.acquire", "Condition.wake"})


class LockOrder(Detector):
    """Checks every blocking acquisition against a declared order."""

    name = "lock order"

    def __init__(self, order: Sequence[str]) -> None:
        self.rank = {title: place for place, title in enumerate(order)}
        self.order = tuple(order)

    def operation(
        self, execution: ExecutionView, task: TaskView, op: str, target: object
    ) -> Finding | None:
        """Compare the lock being taken with those held."""
        if op not in TAKES:
            return None
        title = getattr(target, "title", "")
        rank = self.rank.get(title)
        if rank is None:
            return None
        for held in execution.held_by(task):
            other = self.rank.get(held.title)
            if other is not None and other > rank and held is not target:
                site = execution.site_of(task)
                return Finding(
                    cause="lock order",
                    message=f"{task.title} takes {title} at {site} while holding {held.title}; declared order: "
                    + " > ".join(self.order),
                    key=(held.title, title, site),
                    culprits=(task.path,),
                    fatal=False,
                )
        return None
