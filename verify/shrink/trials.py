"""Runs candidates: does this schedule fail in the same way, and what does it cost.

Promises: a candidate that fails otherwise, diverges, leaves the test (a skip) or passes is no candidate; each is one
execution of the budget.
A failure that every build of Python can show is kept to what they can show.
Assumes that the session stands at the failure's granularity, accesses labelled (`Session.at`) if `stock`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from verify.abc import UsageError, listener_of, tell
from verify.session import Outcome
from verify.shrink.cost import Cost, Metered
from verify.shrink.turns import Noted, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import Detector, Finding, Strategy
    from verify.session import Session
    from verify.shrink.budget import Budget


@dataclass(frozen=True, slots=True)
class Failing:
    """A schedule that fails in the way looked for."""

    choices: tuple[int, ...]
    cost: Cost
    turns: tuple[Turn, ...]
    values: tuple[int, ...]


def same_way(outcome: Outcome, key: tuple[str, ...]) -> bool:
    """Whether an execution failed with this cause and key."""
    found = outcome.finding
    return outcome.abort is None and found is not None and (found.cause, *found.key) == key


class Trials:
    """Candidates of one failure; `stock` keeps preemptions to where stock builds hand over."""

    def __init__(
        self, session: Session, finding: Finding, budget: Budget, *, stock: bool = False
    ) -> None:
        self.session = session
        self.key = (finding.cause, *finding.key)
        self.culprits = finding.culprits
        self.budget = budget
        self.stock = stock
        self.detectors = session.program.detectors()
        self.last: Outcome | None = None

    def run(self, strategy: Strategy, *, given: bool = False) -> Failing | None:
        """Run once; return the schedule if it fails in the same way.

        `last` is the outcome, None if the strategy had nothing left to run. `given` is for the schedule
        found: it is run as it is.
        """
        self.budget.take()
        noted = Noted(strategy)
        metered = Metered(noted, stock=self.stock and not given)
        self.last = None
        if not metered.new_execution():
            return None
        own = listener_of(strategy)
        listeners = [noted.listener, *([] if own is None else [own])]
        self.last = outcome = self._outcome(metered, [*listeners, *self.detectors])
        cut = outcome.steps > self.session.program.settings.max_steps
        tell(strategy, outcome.choices, news=False, cut=cut)
        if not same_way(outcome, self.key):
            return None
        cost = metered.cost(sum(noted.listener.counts.values()))
        return Failing(outcome.choices, cost, tuple(noted.turns), tuple(noted.values))

    def _outcome(self, strategy: Strategy, watching: Sequence[Detector]) -> Outcome:
        try:
            return self.session.run(strategy, watching)
        except UsageError as error:
            return Outcome((), 0, None, (), error)
