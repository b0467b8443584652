"""Random walk with run lengths.

At each choice the current task goes on with a probability that is drawn anew for each execution;
otherwise every enabled task is equally likely. A uniform pick at every step (probability 0) lets
tasks advance in lock step and almost never lets one of them run far ahead while another waits,
which many bugs need; long runs find those and miss others. So executions cycle through lengths.
Fair with probability 1.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import T

STAY = (0.0, 0.5, 0.8, 0.9, 0.97)


class RandomWalk:
    """Pick at random; seeded, so the same seed explores the same executions."""

    name = "random"
    independent = "random"

    def __init__(self, seed: int = 0, *, stay: float | None = None) -> None:
        self.seed = seed
        self.rng = Random(seed)
        self.random = self.rng.random
        self.fixed = stay
        self.stay = stay or 0.0

    def new_execution(self) -> bool:
        """Draw this execution's run length."""
        if self.fixed is None:
            self.stay = STAY[int(self.random() * len(STAY))]
        return True

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Go on with probability `stay`, else pick evenly."""
        if current.runnable and self.random() < self.stay:
            return current
        return enabled[int(self.random() * len(enabled))]

    def draw(self, bound: int) -> int:
        """Draw evenly."""
        return int(self.random() * bound)

    def worth(self, executions: int) -> str:
        """Say what `executions` passes are worth."""
        return (
            f"{executions} random executions: no bound holds for a random walk; a schedule it draws with probability p "
            f"was missed with probability (1 - p)^{executions}"
        )
