"""Depth-first search with iterative preemption bounding (Musuvathi, Qadeer, PLDI 2007).

Executions with no preemption come first, then those with one, and so on, each exactly once: what is
found first is found with the fewest preemptions. When no execution of a bound leaves an
alternative that would cost one more, everything has been run.

A choice is free where the task that ran cannot go on: any task that can take its next step may take
over. It costs one where
- a task that could go on is left (a preemption),
- a timer fires although a task could go on without it,
- a task has given way (sleep, failed try, time-out) and another than the next in turn goes on. In turn is free,
  so a loop that polls lets everybody else run and ends where a fair schedule ends it.

How large the tree is, it estimates on the way: once `ESTIMATED_FROM` executions are made, every `PROBE_EVERY`-th
execution is not the next one but a random descent (`verify.strategies.descent`), which costs that share of the speed,
and may find something itself. An execution that a descent made is made again in its turn.

Deviations, admitted: the frontier keeps, for each execution of the bound before, its choices and how
many alternatives each had, from which the next bound is made on the way (six bytes a choice, and up to
`MOST_FRONTIER` in all: alternatives of executions beyond it are left out, and the search then never says that it is
complete); the paper's visited set of states is left out. Values that the program draws from more than `MOST_VALUES`
are not enumerated (0 is taken), and the search then never says that it is complete. A step whose
alternatives differ from those seen before it, under the same choices, stops the search.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from verify.abc import ScheduleMismatchError
from verify.strategies.descent import Descent
from verify.strategies.yields import alternatives

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from verify.abc import T
    from verify.estimates import Estimate

    # An execution: choice, free alternatives and all alternatives at each step; where its own part
    # begins.
    Item = tuple[array[int], array[int], array[int], int]

MOST_VALUES = 16
MOST_FRONTIER = 1 << 28
"""Bytes that the frontier may take; the one that is being walked may be as large again."""
ITEM_BYTES = 400
"""What an execution takes in the frontier besides its choices: a tuple and the heads of three arrays."""
ESTIMATED_FROM = 250
PROBE_EVERY = 16
VALUES = "values the program draws"
BEYOND = "what lies beyond the step bound"
NO_ROOM = "alternatives that the frontier had no room for"


class DFS:
    """Every execution once, those with fewer preemptions first; up to `preemptions` if given."""

    name = "dfs"

    def __init__(self, seed: int = 0, *, preemptions: int | None = None) -> None:
        self.seed = seed
        self.most = preemptions
        self.left_out: dict[str, None] = {}
        self.restart()

    @property
    def complete(self) -> bool:
        """Whether nothing was left out of what was to be searched."""
        return not self.left_out

    def restart(self) -> None:
        """Begin again: the program's scheduling points have changed."""
        self.bound = 0
        self.done = False
        self.pruned = False
        self.started = False
        self.finished = [0]
        self.forced: array[int] = array("H")
        self.expected: tuple[array[int], array[int]] = (array("H"), array("H"))
        self.path: array[int] = array("H")
        self.free: array[int] = array("H")
        self.all: array[int] = array("H")
        self.root = 0
        self.fresh: list[Item] = []
        self.room = MOST_FRONTIER
        self.whole = (
            -1
        )  # the last bound whose alternatives are all in the frontier, once one had no room
        self.prefixes: Iterator[tuple[Item, int, int]] = iter(())
        self.given_way: dict[int, int] = {}
        self.descent = Descent(self.seed)
        self.descending = False
        self.learning = False
        self.cost = 0
        self.count = 0

    @property
    def estimate(self) -> Estimate | None:
        """How many executions remain, as far as can be said; None before there is something to go by."""
        whole = self.descent.estimate()
        return whole.less(sum(self.finished)) if whole is not None and not self.done else None

    def remaining(self) -> str:
        """Say how many executions remain, for whoever watches; nothing where a bound ends the search first."""
        estimate = self.estimate
        return f"{estimate} schedules left" if estimate is not None and self.most is None else ""

    def ended(self, choices: Sequence[int], *, news: bool, cut: bool) -> None:
        """Note whether the execution went its way to the end, as every claim of completeness needs."""
        del choices, news
        if self.descending or self.learning:
            self.descent.end(counted=self.descending)
        if self.descending:
            return
        if cut or len(self.path) < len(self.forced):
            self.left_out[BEYOND] = None

    # --- the tree

    def new_execution(self) -> bool:
        """Move on to the next execution; False when all within the bound have been run."""
        if self.done:
            return False
        self.given_way = {}
        self.count += 1
        self.learning = self.count <= ESTIMATED_FROM or self.count % PROBE_EVERY == 1
        self.descending = self.descends()
        if self.learning or self.descending:
            self.descent.begin()
        if self.descending:
            self.cost = 0
            return True
        if self.started:
            self._settle()
            if not (self._next_free() or self._next_costly() or self._next_bound()):
                self.done = True
                return False
        self.started = True
        self.path, self.free, self.all = array("H"), array("H"), array("H")
        return True

    def descends(self) -> bool:
        """Say whether the execution that begins is a random descent."""
        return self.count > ESTIMATED_FROM and self.count % PROBE_EVERY == 0

    def _settle(self) -> None:
        """Keep what the execution that ended leaves for the next bound."""
        self.finished[-1] += 1
        begin = len(self.forced)
        if any(a > f for f, a in zip(self.free[begin:], self.all[begin:], strict=True)):
            if self.most is not None and self.bound >= self.most:
                self.pruned = True
            else:
                self._keep((self.path, self.free, self.all, begin))

    def _keep(self, item: Item) -> None:
        size = ITEM_BYTES + 3 * item[0].itemsize * len(item[0])
        if size > self.room:
            self.left_out[NO_ROOM] = None
            if self.whole < 0:
                self.whole = self.bound
            return
        self.room -= size
        self.fresh.append(item)

    def _next_free(self) -> bool:
        """Take the deepest free alternative of the subtree that is being walked."""
        path, free = self.path, self.free
        for at in range(len(path) - 1, self.root - 1, -1):
            if path[at] + 1 < free[at]:
                self._force(path, at, path[at] + 1, free, self.all)
                return True
        return False

    def _next_costly(self) -> bool:
        """Take the next alternative of the frontier that costs one preemption more than the bound before."""
        for (path, free, every, _), at, choice in self.prefixes:
            self._force(path, at, choice, free, every)
            self.root = at + 1
            return True
        return False

    def _next_bound(self) -> bool:
        if not self.fresh:
            return False
        self.prefixes = _costly(self.fresh)
        self.fresh = []
        self.room = MOST_FRONTIER
        self.bound += 1
        self.finished.append(0)
        return self._next_costly()

    def _force(
        self, path: array[int], at: int, choice: int, free: array[int], every: array[int]
    ) -> None:
        self.forced = path[:at]
        self.forced.append(choice)
        self.expected = (free[: at + 1], every[: at + 1])

    # --- one step

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Take the forced choice, else the default."""
        order, free = alternatives(enabled, current, self.given_way)
        if self.descending:
            return order[self._descend(order, free)]
        choice = self._take(free, len(order))
        if self.learning:
            self.descent.follow(order, choice)
        return order[choice]

    def _descend(self, order: Sequence[T], free: int) -> int:
        """Draw an alternative that lies within the bound."""
        within = self.most is None or self.cost < self.most
        at = self.descent.pick(order if within else order[:free])
        self.cost += at >= free
        return at

    def draw(self, bound: int) -> int:
        """Go through all values below a small bound; else take 0, and claim nothing."""
        if bound > MOST_VALUES:
            self.left_out[VALUES] = None
            return 0
        if self.descending:
            return self.descent.value(bound)
        return self._take(bound, bound)

    def _take(self, free: int, every: int) -> int:
        at = len(self.path)
        choice = 0
        if at < len(self.forced):
            choice = self.forced[at]
            if self.expected[0][at] != free or self.expected[1][at] != every:
                raise ScheduleMismatchError(
                    f"choice {at} has {every} alternatives, {free} of them free, and had "
                    f"{self.expected[1][at]}, {self.expected[0][at]} of them free, after the same choices before"
                )
        self.path.append(choice)
        self.free.append(free)
        self.all.append(every)
        return choice

    def worth(self, executions: int) -> str:
        """Say which bound was finished."""
        counts = ", ".join(f"{count:,} with {cost}" for cost, count in enumerate(self.finished))
        if self.done and self.complete and not self.pruned:
            return f"every schedule was run, at these scheduling points ({counts} preemptions)"
        finished = self.bound if self.done else self.bound - 1
        if self.whole >= 0:
            finished = min(finished, self.whole)
        said = (
            "not all schedules without a preemption were run" if finished < 0 else
            f"every schedule with at most {finished} preemptions was run, and not all with more"
        )  # fmt: skip
        if self.left_out:
            said = f"{said}; left out: {', '.join(self.left_out)}"
        left = f"; {self.estimate} remain" if self.estimate is not None else ""
        return f"depth first, {executions:,} executions: {said} ({counts} preemptions){left}"


def _costly(items: Sequence[Item]) -> Iterator[tuple[Item, int, int]]:
    """Yield each alternative of `items` that costs one."""
    for item in items:
        _, free, every, begin = item
        for at in range(begin, len(free)):
            for choice in range(free[at], every[at]):
                yield item, at, choice
