"""Budgets by what a pass is to be worth: a search that ends when enough is known, and says so where it is not.

Promises: what is asked for is checked in full before anything runs; a wrong number, or a strategy that
cannot give what is asked, is one `UsageError`. Two things can be asked for: that a bug of a given depth would
have shown with a given probability (PCT's bound), or that little is left that a random search has not shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from verify import registry
from verify.abc import UsageError
from verify.measure import Measure, probability
from verify.strategies.pct_to_bound import PCTToBound
from verify.worth import CONFIDENCE

if TYPE_CHECKING:
    from verify.config import Config
    from verify.strategies import NamedStrategy

MOST_EXECUTIONS: Final = 1_000_000
"""Where a search for a confidence ends that no other budget ends."""
MOST_DEPTH: Final = 20
SAMPLER: Final = "pos"
"""Searches where something may be left unseen and no strategy is named: its odds depend on races, not on lengths."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a pass is to be worth; nothing, where all is None.

    `bug_depth`: how many orders of two operations a bug may need. `unseen`: the chance, below which it ends, that the
    next run shows a class of executions not seen before. `confidence` goes with either (0.95).
    """

    confidence: float | None = None
    bug_depth: int | None = None
    unseen: float | None = None

    def __post_init__(self) -> None:
        depth = self.bug_depth
        if self.confidence is not None:
            probability(self.confidence, "confidence")
            if depth is None and self.unseen is None:
                raise UsageError(
                    f"confidence {self.confidence} in what? give a bug depth with it, like 2, "
                    "or a share unseen, like 0.01"
                )
        if self.unseen is not None:
            probability(self.unseen, "unseen")
            if depth is not None:
                raise UsageError(
                    "a bug depth and a share unseen are two searches; ask for one of them"
                )
        if depth is not None and (type(depth) is not int or not 1 <= depth <= MOST_DEPTH):
            raise UsageError(f"bug depth is {depth!r}; give a whole number from 1 to {MOST_DEPTH}")

    @property
    def asked(self) -> bool:
        """Whether anything is asked for."""
        return self.bug_depth is not None or self.unseen is not None

    def executions(self, given: int | None, seconds: float | None, default: int) -> int | None:
        """Return after how many executions the search ends, whatever is known then."""
        if given is not None or seconds is not None:
            return given
        return MOST_EXECUTIONS if self.asked else default

    def searcher(self, strategy: str | None, seed: int) -> NamedStrategy:
        """Return the strategy named, or the one that what is asked for needs."""
        if self.bug_depth is not None:
            if strategy not in {None, "pct"}:
                raise UsageError(
                    f"a bug depth asks for PCT's bound, which {strategy} does not have; say strategy pct, or none"
                )
            return PCTToBound(seed, depth=self.bug_depth, confidence=self.confidence or CONFIDENCE)
        if strategy is None:
            strategy = registry.DEFAULT if self.unseen is None else SAMPLER
        return registry.make(strategy, seed)

    def measure(self, *, whole: bool = False) -> Measure:
        """Return what counts along the search; with `whole`, every run."""
        return Measure(unseen=self.unseen, confidence=self.confidence or CONFIDENCE, whole=whole)


NO_GOAL: Final = Goal()


@dataclass(frozen=True, slots=True)
class Budget:
    """When a search ends, and who searches (None: whom the goal needs)."""

    executions: int | None = None
    seconds: float | None = None
    goal: Goal = NO_GOAL
    strategy: str | None = None


def settle(*layers: Config) -> Budget:
    """Return the budget of the nearest of `layers` that gives any; it replaces all of it further away.

    So does what it asks for: a strategy named further away than a goal does not count.
    """
    given = [at for at, one in enumerate(layers) if _gives(one)]
    near = layers[given[0]] if given else None
    goal = Goal(near.confidence, near.bug_depth, near.unseen) if near is not None else Goal()
    reach = given[0] + 1 if goal.asked else len(layers)
    strategy = next((one.strategy for one in layers[:reach] if one.strategy), None)
    if near is None:
        return Budget(strategy=strategy)
    return Budget(near.executions, near.seconds, goal, strategy)


def _gives(one: Config) -> bool:
    budgets = (one.executions, one.seconds, one.confidence, one.bug_depth, one.unseen)
    return any(value is not None for value in budgets)
