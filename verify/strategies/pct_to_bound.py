"""PCT for as many runs as its bound asks for: they all miss a bug of depth d with at most the probability given.

The first `MEASURED` runs, under PCT with depth drawn and length learnt, show how many tasks (n) and choices (k) there
are; then PCT's plain mode (Burckhardt and others, ASPLOS 2010) runs with these n and k and depth d, whose chance
for one run is at least 1/(n * k**(d-1)). Runs are counted again from the first when one has more tasks or
choices than any before. A run that reaches the step bound is not counted, as PCT did not see it to its end.
So n and k are the most of all runs counted, not of all there can be: a longer run that never came up would void the
bound, and `worth` says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from verify.strategies.pct import PCT
from verify.worth import missed, pct_chance, runs_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from verify.abc import T

MEASURED: Final = 100


class PCTToBound:
    """Measures, then runs plain PCT until a bug of `depth` would have shown with probability `confidence`."""

    name = "pct"
    complete = False

    def __init__(self, seed: int = 0, *, depth: int, confidence: float) -> None:
        self.seed = seed
        self.depth = depth
        self.confidence = confidence
        self.restart()

    def restart(self) -> None:
        """Measure again: the program's scheduling points have changed."""
        self.tasks = self.choices = 1
        self.measured = self.runs = self.cut = self.rounds = 0
        self._take(PCT(self.seed))

    def _take(self, inner: PCT) -> None:
        # Bound here so that a choice costs what it costs PCT.
        self.inner = inner
        self.choose: Callable[[Sequence[T], T], T] = inner.choose
        self.draw: Callable[[int], int] = inner.draw

    @property
    def independent(self) -> str:
        """The name of what runs are drawn from independently, once n and k stand."""
        return (
            f"pct with n={self.tasks}, k={self.choices}, d={self.depth}" if self.inner.plain else ""
        )

    @property
    def needed(self) -> int:
        """How many plain runs the bound asks for, by what has been measured."""
        return runs_for(pct_chance(self.tasks, self.choices, self.depth), self.confidence)

    def new_execution(self) -> bool:
        """Go on until the number of runs is reached."""
        if self.inner.plain and self.runs >= self.needed:
            return False
        if not self.inner.plain and self.measured >= MEASURED:
            self._begin_plain()
        return self.inner.new_execution()

    def _begin_plain(self) -> None:
        self.runs = 0
        self.rounds += 1
        # Another stream of random numbers for each round, and for each seed.
        seed = self.seed * 1_000_003 + self.rounds
        self._take(PCT(seed, tasks=self.tasks, choices=self.choices, depth=self.depth))

    def ended(self, choices: tuple[int, ...], *, news: bool, cut: bool) -> None:
        """Take in how many tasks and choices the run had; count it if it had no more than those before."""
        del choices, news
        inner = self.inner
        if not inner.plain:
            self.measured += 1
        if cut:
            self.cut += 1
            return
        tasks, count = (
            max(self.tasks, inner.most_tasks),
            max(self.choices, min(inner.count, inner.limit)),
        )
        grown = (tasks, count) != (self.tasks, self.choices)
        self.tasks, self.choices = tasks, count
        if not inner.plain:
            return
        if grown:
            self._begin_plain()
        else:
            self.runs += 1

    @property
    def short(self) -> str:
        """Say what is missing to what was asked for, or an empty string."""
        if self.inner.plain and self.runs >= self.needed:
            return ""
        cut = (
            f"; {self.cut:,} runs reached the step bound and count for nothing" if self.cut else ""
        )
        return (
            f"asked for {100 * self.confidence:.4g} % confidence in no bug of depth {self.depth}: that takes "
            f"{self.needed:,} PCT runs (n={self.tasks} tasks, k={self.choices} choices), {self.runs:,} were made{cut}; "
            "give a larger budget, or a smaller depth or confidence"
        )

    def remaining(self) -> str:
        """Say how far the runs are, for whoever watches."""
        if not self.inner.plain:
            return f"measuring, {self.measured} of {MEASURED} runs"
        return f"{self.runs:,} of {self.needed:,} PCT runs"

    def worth(self, executions: int) -> str:
        """Say what the runs are worth, and for which n, k and d."""
        chance = pct_chance(self.tasks, self.choices, self.depth)
        return (
            f"{self.runs:,} PCT runs miss a bug of depth {self.depth} with probability <= "
            f"{missed(chance, self.runs):.3g}: each finds it with probability >= 1/(n*k^(d-1)) = {chance:.3g}, "
            f"for n={self.tasks} tasks and k={self.choices} choices, the most that any of "
            f"{executions:,} executions had (a longer one would void this)"
        )
