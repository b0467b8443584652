"""PCT: probabilistic concurrency testing (Burckhardt, Kothari, Musuvathi, Nagarakatte, ASPLOS 2010).

Plain mode (n, k and d given) is the paper's algorithm: n random distinct priorities d .. d+n-1; d-1
change points drawn evenly from the first k choices, the i-th of them lowering the task about to run
to priority i; always the enabled task of highest priority. One run finds a bug of depth d with
probability at least 1 / (n * k**(d-1)).

Deviations, admitted: only steps with a choice are counted, so k is the number of real choices (the
bound holds for that k). In learning mode d is drawn for each execution and k is the largest number
of choices seen so far, tasks join at a random priority, and a task that gives way (sleep, failed
try, time-out) falls below all others every other time, so that a loop that polls cannot starve
those it waits for. An execution that has made twice as many choices as any before it (and
`SLACK` more) goes on as an even random walk, which is fair: priorities that starve a loop's partner
cannot keep it from its end. The bound is then nominal, and `worth` says so.
"""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import TYPE_CHECKING

from verify.strategies.yields import gave_way
from verify.worth import missed, pct_chance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import T

MAX_DEPTH = 10
SLACK = 200  # choices beyond twice the known length, until priorities no longer count


class PCT:
    """Priorities with a few random change points."""

    name = "pct"

    def __init__(
        self,
        seed: int = 0,
        *,
        tasks: int | None = None,
        choices: int | None = None,
        depth: int | None = None,
    ) -> None:
        given = [value for value in (tasks, choices, depth) if value is not None]
        if given and len(given) < 3:
            raise ValueError(
                "PCT's plain mode needs all three of tasks (n), choices (k) and depth (d); give all or none"
            )
        if any(value < 1 for value in given):
            raise ValueError(f"PCT: tasks, choices and depth must be at least 1, not {given}")
        self.seed = seed
        self.rng = Random(seed)
        self.plain = bool(given)
        self.tasks = tasks or 0
        self.choices = choices or 16
        self.depth = depth or 1
        self.count = 0
        self.most_tasks = 0
        self.most_choices = 0
        self.priorities: dict[int, float] = {}
        self.changes: dict[int, int] = {}
        self.given_way: dict[int, int] = {}
        self.floor = 0.0
        self.limit = 1 << 60  # plain mode keeps to the paper
        self.depths: Counter[int] = Counter()

    @property
    def independent(self) -> str:
        """The name of what the runs are drawn from independently: plain mode learns nothing."""
        return f"pct with n={self.tasks}, k={self.choices}, d={self.depth}" if self.plain else ""

    def new_execution(self) -> bool:
        """Draw priorities and change points."""
        self.most_choices = max(self.most_choices, self._known())
        rng = self.rng
        self.count = 0
        self.floor = 0.0
        if not self.plain:
            self.choices = max(self.choices, self.most_choices)
            self.limit = 2 * self.choices + SLACK
            self.depth = min(1 + int(rng.expovariate(0.4)), MAX_DEPTH)
        self.depths[self.depth] += 1
        self.given_way = {}
        self.priorities = {}
        if self.plain:
            order = list(range(self.depth, self.depth + self.tasks))
            rng.shuffle(order)
            self.priorities = dict(enumerate(map(float, order)))
        # Not sorted: which value comes first in time is itself random (the paper's step 2).
        self.changes = {rng.randint(1, self.choices): value for value in range(1, self.depth)}
        return True

    def _known(self) -> int:
        """Return the length that the last execution shows, 0 if it was starved: it ended soon after `limit`."""
        if self.limit < self.count <= self.limit + SLACK:
            return 0
        return min(self.count, self.limit)

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Run the enabled task of highest priority, lowered first if a change point falls on this step."""
        self.count += 1
        if self.count > self.limit:
            return enabled[int(self.rng.random() * len(enabled))]
        if not self.plain:
            self._demote_if_gave_way(current)
        best = self._highest(enabled)
        value = self.changes.get(self.count)
        if value is not None:
            self.priorities[best.index] = float(value)
            best = self._highest(enabled)
        return best

    def _highest(self, enabled: Sequence[T]) -> T:
        priorities = self.priorities
        best = enabled[0]
        top = -1e18
        for task in enabled:
            index = task.index
            priority = priorities.get(index)
            if priority is None:
                priority = priorities[index] = self._join(index)
            if priority > top:
                top = priority
                best = task
        return best

    def _join(self, index: int) -> float:
        self.most_tasks = max(self.most_tasks, index + 1)
        return self.depth + self.rng.random() * 1000.0

    def _demote_if_gave_way(self, task: T) -> None:
        if gave_way(task, self.given_way):
            if self.rng.random() < 0.5:
                return  # a single sleep is no spin: half of them keep their place
            self.floor -= 1.0
            self.priorities[task.index] = self.floor

    def draw(self, bound: int) -> int:
        """Draw evenly."""
        return int(self.rng.random() * bound)

    def worth(self, executions: int) -> str:
        """Say what `executions` passes are worth, and for which n, k and d."""
        seen = max(self.most_choices, self.count)
        if not self.plain:
            return self._nominal(executions, seen)
        n, k, d = self.tasks, self.choices, self.depth
        if self.most_tasks > n or seen > k:
            return (
                f"PCT's bound is void: it was asked for n={n}, k={k}, and a run had "
                f"{max(self.most_tasks, n)} tasks and {seen} choices; give at least these"
            )
        one = pct_chance(n, k, d)
        return (
            f"a bug of depth {d} is found by one execution with probability >= 1/(n*k^(d-1)) = {one:.3g} "
            f"(n={n} tasks, k={k} choices); {executions} missed it with probability <= {missed(one, executions):.3g}"
        )

    def _nominal(self, executions: int, seen: int) -> str:
        n = max(self.most_tasks, 1)
        by_depth = []
        for depth in (1, 2, 3):
            runs = self.depths[depth]
            chance = missed(pct_chance(n, seen, depth), runs)
            by_depth.append(f"{chance:.3g} for depth {depth} ({runs:,} runs)")
        return (
            f"{executions} PCT executions with depth drawn from 1..{MAX_DEPTH}, n={n}, k learnt ({seen} choices): "
            f"the bound 1/(n*k^(d-1)) is nominal; by it they miss a bug with {', '.join(by_depth)}"
        )
