"""How many operations each task still has before it: what URW and SURW draw by.

Promises: tasks are known by creation path, so counts of one execution serve the next. What a task
has left includes what the children have that it has not made yet. A count that turns out too small
is one for as long as the task goes on. Executions that a finding cut short teach nothing, unless
there are no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from verify.abc import TaskView


class Weights:
    """Learns totals by path from executions, and counts down in one execution."""

    def __init__(self) -> None:
        self.totals: dict[str, float] = {}
        self.seen: dict[str, int] = {}
        self.whole = 0
        self.left: dict[int, float] = {}
        self.paths: dict[str, int] = {}
        self.trees: dict[str, float] = {}

    def forget(self) -> None:
        """Forget everything: the program's scheduling points have changed."""
        self.__init__()  # type: ignore[misc] # what a fresh one is

    def begin(self, totals: dict[str, float] | None = None) -> None:
        """Start an execution, by the learned totals or by those given."""
        self.seen = {}
        self.left = {}
        self.paths = {}
        self.trees = trees(self.totals if totals is None else totals)

    def count(self, task: TaskView) -> None:
        """One operation of `task` took effect."""
        path = task.path
        self.seen[path] = self.seen.get(path, 0) + 1

    def spend(self, task: TaskView) -> None:
        """One of the operations that `task` had left is done."""
        self.left[task.index] = max(self.of(task) - 1.0, 0.0)

    def of(self, task: TaskView) -> float:
        """Return what `task` has left, children that it has not made included."""
        left = self.left.get(task.index)
        return self._join(task) if left is None else left

    def parent_of(self, task: TaskView) -> int:
        """Return the index of the task that made `task`, -1 if it has not been seen."""
        return self.paths.get(task.path.rpartition("/")[0], -1)

    def _join(self, task: TaskView) -> float:
        path = task.path
        self.paths[path] = task.index
        own = self.trees.get(path, 0.0)
        self.left[task.index] = own
        parent = self.parent_of(task)
        if parent >= 0:
            self.left[parent] = max(self.left[parent] - own, 0.0)
        return own

    def learn(self, *, whole: bool) -> None:
        """Take in the counts of the execution that ended; `whole` says that it ran to its end."""
        if whole:
            self.whole += 1
        elif self.whole:
            return
        share = 1.0 / max(self.whole, 1)
        for path in self.totals.keys() | self.seen.keys():
            before = self.totals.get(path, 0.0)
            now = self.seen.get(path, 0)
            self.totals[path] = before + (now - before) * share if whole else max(before, now)


def trees(totals: dict[str, float]) -> dict[str, float]:
    """Return, for each path, its own count and those of all that descend from it."""
    sums: dict[str, float] = {}
    for path, own in totals.items():
        place = path
        while place:
            sums[place] = sums.get(place, 0.0) + own
            place = place.rpartition("/")[0]
    return sums
