"""Samples of schedules that meet orders: how many of them fail in the same way.

Promises: only executions that met all orders are counted; the rest are said to be unmet. What is sampled is random
schedules, so a share is an estimate, and "all failed" says nothing of schedules that were not drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from verify.explain.ordered import STAY, Ordered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from verify.explain.events import Order
    from verify.shrink.trials import Failing, Trials

MOST_UNMET = 2
"""Executions that may miss the orders, for each that is wanted."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Of `met` schedules that meet the orders `failing` failed in the same way; `unmet` others did not meet them."""

    met: int
    failing: int
    unmet: int

    @property
    def passing(self) -> int:
        """Schedules that met the orders and did not fail in that way."""
        return self.met - self.failing

    def __add__(self, other: Sample) -> Sample:
        return Sample(self.met + other.met, self.failing + other.failing, self.unmet + other.unmet)


@dataclass
class Sampler:
    """Draws schedules by `trials`; `values` are those the program draws; `on_failing` sees each failing one."""

    trials: Trials
    values: Sequence[int]
    on_failing: Callable[[Failing], None]
    seed: int = 0

    def sample(
        self,
        orders: Sequence[Order],
        wanted: int,
        *,
        most_passing: int | None = None,
        stay: Sequence[float] = STAY,
    ) -> Sample:
        """Draw until `wanted` schedules met the orders, too many did not, or more than `most_passing` passed."""
        self.seed += 1
        strategy = Ordered(orders, self.values, seed=self.seed, stay=stay)
        met = failing = unmet = 0
        while met < wanted and unmet < MOST_UNMET * wanted:
            found = self.trials.run(strategy)
            if not strategy.met:
                unmet += 1
                continue
            met += 1
            if found is not None:
                failing += 1
                self.on_failing(found)
            elif most_passing is not None and met - failing > most_passing:
                break
        return Sample(met, failing, unmet)
