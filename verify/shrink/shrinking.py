"""The passes of shrinking: fewest preemptions first, then fewest choices that are not the default.

1. Run the found schedule as turns; leave out whole tasks' turns, then single turns, by delta debugging.
2. Let a turn go on until its task gives way by itself: replaces a switch by "go on".
3. Begin again with what the simplest run did, until nothing helps. Draw 0 where the program drew a value.
4. Search all schedules with fewer preemptions, by depth-first search: what it finds has the fewest, and if it ends
   without a find then what was reached has. Where the budget does not reach that far, nothing is claimed.

Promises: the result fails in the same way (cause and key) as what was found, and never has more preemptions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import UsageError
from verify.shrink.budget import SpentError
from verify.shrink.subsets import smallest
from verify.shrink.turns import Turn, Turns
from verify.strategies.dfs import DFS
from verify.strategies.replay import Replay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.shrink.budget import Budget
    from verify.shrink.trials import Failing, Trials

MOST_VALUES = 16
MOST_ROUNDS = 8


class InOrder(DFS):
    """Depth-first search that finds a schedule with few preemptions before any with more."""

    def descends(self) -> bool:
        """Never: a random descent would be out of order."""
        return False


class Shrinking:
    """The simplest failing schedule so far, `best`; `found` is the one that it began with.

    `fewest` says that no schedule with fewer preemptions fails in this way: a proof, at these scheduling points.
    """

    def __init__(self, trials: Trials, found: Failing) -> None:
        self.trials = trials
        self.found = found
        self.best = found
        self.fewest = found.cost.preemptions == 0

    @classmethod
    def begin(cls, trials: Trials, choices: tuple[int, ...]) -> Shrinking | None:
        """Run what was found; None if it does not fail in that way again, or nothing may be run."""
        try:
            found = trials.run(Replay(choices), given=True)
        except SpentError:
            return None
        return None if found is None else cls(trials, found)

    def consider(self, failing: Failing) -> bool:
        """Take a failing schedule if it costs no more."""
        if failing.cost[:2] > self.best.cost[:2]:
            return False
        self.best = failing
        self.fewest = self.fewest or failing.cost.preemptions == 0
        return True

    def passes(self, budget: Budget) -> None:
        """Make turns fewer until nothing helps or the budget is spent."""
        self.trials.budget = budget
        try:
            for _ in range(MOST_ROUNDS):
                before = self.best.cost
                self._fewer_tasks()
                self._fewer_turns()
                self._longer_turns()
                if self.best.cost >= before:
                    break
            self._smaller_values()
        except SpentError:
            pass  # what was reached stands

    def fewer_preemptions(self, budget: Budget) -> None:
        """Search everything with fewer preemptions: what is found has the fewest, and so has `best` if nothing is."""
        if self.fewest:
            return
        self.trials.budget = budget
        search = InOrder(preemptions=self.best.cost.preemptions - 1)
        try:
            while True:
                failing = self.trials.run(search)
                last = self.trials.last
                if last is None or failing is not None:
                    self.best = failing or self.best
                    self.fewest = search.complete
                    return
                if last.abort is not None and not isinstance(last.abort, UsageError):
                    return  # it did not go its way; one that leaves the test did
        except SpentError:
            pass  # nothing is claimed

    def _takes(self, turns: Sequence[Turn], values: Sequence[int] | None = None) -> bool:
        """Run `turns`; keep what fails and costs no more."""
        drawn = self.best.values if values is None else values
        failing = self.trials.run(Turns(turns, drawn))
        return failing is not None and self.consider(failing)

    def _fewer_tasks(self) -> None:
        turns = self.best.turns
        tasks = list(dict.fromkeys(turn.task for turn in turns))
        if len(tasks) > 2:
            smallest(tasks, lambda kept: self._takes([t for t in turns if t.task in kept]))

    def _fewer_turns(self) -> None:
        smallest(self.best.turns, self._takes)

    def _longer_turns(self) -> None:
        turns = list(self.best.turns)
        for at, turn in enumerate(turns):
            longer = [*turns[:at], Turn(turn.task, None), *turns[at + 1 :]]
            if turn.until is not None and self._takes(longer):
                turns = longer

    def _smaller_values(self) -> None:
        turns, values = self.best.turns, list(self.best.values)
        if any(values) and not self._takes(turns, [0] * len(values)):
            for at, value in enumerate(values[:MOST_VALUES]):
                smaller = [*values[:at], 0, *values[at + 1 :]]
                if value and self._takes(turns, smaller):
                    values = smaller
