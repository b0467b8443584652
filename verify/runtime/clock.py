"""Virtual time.

Promises: time moves only when a task reads the clock (a fixed tick, so that a loop that polls it
ends), when a timer fires (to its deadline), and when `advance` says that something took time (a
link's byte rate, a modelled copy). It never moves backwards and knows nothing of the wall clock, so
it is a function of the schedule alone.
"""

from __future__ import annotations

EPOCH = (
    1_343_000_000.0  # time.time() at the start of every execution: July 2012, as good a day as any
)


class Clock:
    """Seconds since the start of the execution."""

    __slots__ = ("now", "tick")

    def __init__(self, tick: float) -> None:
        self.now = 0.0
        self.tick = tick

    def read(self) -> float:
        """Read the clock, which takes one tick."""
        self.now = now = self.now + self.tick
        return now

    def advance(self, seconds: float) -> None:
        """Let `seconds` (not negative) pass."""
        if seconds > 0:
            self.now += seconds

    def reach(self, deadline: float) -> None:
        """Move to `deadline` unless it has passed already."""
        self.now = max(self.now, deadline)
