"""A schedule as a few departures from the default, each at a place along the run.

Promises: without departures, and beyond them, the current task goes on, else the first that can: what depth-first
search runs first. A place is the number of a choice; one behind the run's end is counted round, so that evenly drawn
places are even over the run whatever its length, and small ones mean the same where a run changes behind them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.strategies.values import Values
from verify.strategies.yields import alternatives

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from verify.abc import T


class Switching:
    """At each place in `switches`, (place, k), takes the k-th alternative to the default; k is counted round, too.

    `length` is how many choices the run without departures makes; `values` are those that the program draws, 0 beyond.
    """

    name = "switching"
    seed = 0

    def __init__(
        self, switches: Iterable[tuple[int, int]], length: int, values: Sequence[int] = ()
    ) -> None:
        self.takes = {place % (length + 1): take for place, take in switches}
        self.values = values
        self.drawing = Values(values)
        self.at = 0
        self.seen: dict[int, int] = {}

    def new_execution(self) -> bool:
        """Begin anew; there is always another execution."""
        self.drawing = Values(self.values)
        self.at = 0
        self.seen = {}
        return True

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Go on by default, or depart."""
        order, _ = alternatives(enabled, current, self.seen)
        take = self.takes.get(self.at, 0)
        self.at += 1
        return order[take % len(order)]

    def draw(self, bound: int) -> int:
        """Take the next value, or 0."""
        return self.drawing.draw(bound)

    def worth(self, executions: int) -> str:
        """Say what passes are worth."""
        return f"{executions} schedules of somebody else's choice: no bound holds"
