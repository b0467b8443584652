"""POS: partial order sampling (Yuan, Yang, Gu, CAV 2018).

Every pending operation has a random priority; the enabled one of highest priority runs, and every
other pending operation that races with it (same object, at least one of the two changes it) draws
anew, as does the task that moved. So the orders of conflicting operations are close to independent coin
flips, and orders of operations that do not conflict cost no luck.

Deviations, admitted: a step that only one task could take draws nothing, since the strategy is not
asked there. A task that gives way (sleep, failed try, time-out) draws its next priority below all
others, so that a loop that polls does not run ahead. Accesses to one object count as in conflict
only where their names are the same and their ranges overlap.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from verify.strategies.dependence import Pending, pending, races
from verify.strategies.yields import gave_way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import T


class POS:
    """Random priorities of operations, drawn anew where operations race."""

    name = "pos"
    independent = "pos"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.random = Random(seed).random
        self.priorities: dict[int, float] = {}
        self.given_way: dict[int, int] = {}

    def new_execution(self) -> bool:
        """Forget the priorities."""
        self.priorities = {}
        self.given_way = {}
        return True

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Run the pending operation of highest priority; let those that race with it draw again."""
        priorities = self.priorities
        priorities[current.index] = self.random() - gave_way(current, self.given_way)
        best = enabled[0]
        top = -2.0
        for task in enabled:
            priority = priorities.get(task.index)
            if priority is None:
                priority = priorities[task.index] = self.random()
            if priority > top:
                top = priority
                best = task
        self._draw_again(enabled, best, pending(best))
        return best

    def _draw_again(self, enabled: Sequence[T], best: T, moved: Pending) -> None:
        for task in enabled:
            if task is not best and races(moved, pending(task)):
                self.priorities[task.index] = self.random()

    def draw(self, bound: int) -> int:
        """Draw evenly."""
        return int(self.random() * bound)

    def worth(self, executions: int) -> str:
        """Say what `executions` passes are worth."""
        return (
            f"{executions} executions of partial order sampling: a bug that is an order of racing operations "
            "was met with odds that depend on their number alone, for which no bound is computed"
        )
