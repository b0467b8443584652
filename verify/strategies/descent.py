"""A random descent through the tree of schedules: what depth-first search estimates its size by.

Descents scatter little if each alternative is taken with a probability near the share of the schedules that begin
with it. What is known of that is kept by *position*: how often each task was chosen so far, and what the enabled ones
stand before. A position that earlier descents came through has as many schedules below it as the positions behind it
together; one that is new is given as many as there are orders of the choices that its tasks have left (in the
mean of what was seen so far), which is the number itself where tasks do not wait for each other. Two histories that
lead to one position need not have the same tree below them: that costs accuracy, and no more. A part is dealt out
evenly, so that no alternative is out of reach, however wrong the shares are. What the search itself runs teaches, too.
"""

from __future__ import annotations

from math import exp, inf, lgamma, log
from random import Random
from typing import TYPE_CHECKING

from verify.estimates import Descents

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from verify.abc import T, TaskView
    from verify.estimates import Estimate

    Position = int

EVENLY = 0.3
MOST_POSITIONS = 100_000
END = 0
MOST_TASKS, MOST_CHOICES = 16, 1_000
"""Beyond so many alternatives or choices of an execution nothing is learned, and what follows is dealt out evenly."""


class Descent:
    """Draws alternatives, keeps the product of the odds against them, and learns."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed).random
        self.found = Descents()
        self.runs = 0
        self.totals: dict[str, float] = {}
        self.below: dict[Position, float] = {}  # the logarithm of the schedules below
        self.behind: dict[Position, dict[int, Position]] = {}  # the next ones, by task or value
        self.begin()

    def begin(self) -> None:
        """Begin a descent."""
        self.product = 0.0
        self.made: dict[str, int] = {}
        self.way: list[tuple[Position, int, dict[int, float]]] = []
        self.lost = False

    def _is_lost(self, order: Sequence[TaskView]) -> bool:
        self.lost = self.lost or len(order) > MOST_TASKS or len(self.way) > MOST_CHOICES
        return self.lost

    def pick(self, order: Sequence[T]) -> int:
        """Draw one of the alternatives; return its place."""
        if self._is_lost(order):
            return self._drawn([0.0] * len(order))
        position = self._position(order)
        guesses = self._guesses(position, order)
        at = self._drawn([guesses[task.index] for task in order])
        self._go(position, guesses, order[at])
        return at

    def follow(self, order: Sequence[T], at: int) -> None:
        """Learn that an execution took one of these alternatives."""
        if self._is_lost(order):
            return
        position = self._position(order)
        self._go(position, self._guesses(position, order), order[at])

    def _position(self, order: Sequence[TaskView]) -> Position:
        tasks = sorted((task.index, task.op) for task in order)
        return hash((*self.made.items(), *tasks))

    def _go(self, position: Position, guesses: dict[int, float], chosen: TaskView) -> None:
        path = chosen.path
        self.way.append((position, chosen.index, guesses))
        self.made = dict(sorted({**self.made, path: self.made.get(path, 0) + 1}.items()))

    def _guesses(self, position: Position, order: Sequence[TaskView]) -> dict[int, float]:
        """Return the logarithm of the number of schedules behind each alternative, as far as is known."""
        known = self.behind.get(position, {})
        left = {task.index: self._left(task.path) for task in order}
        # The orders of what is left once one of a task's n choices is made: (sum - 1)! / (product of all n!) * n.
        orders = lgamma(sum(left.values())) - sum(lgamma(each + 1) for each in left.values())
        return {
            index: self.below[known[index]] if index in known else orders + log(each)
            for index, each in left.items()
        }

    def value(self, bound: int) -> int:
        """Draw one of `bound` values."""
        at = self._drawn([0.0] * bound)
        position = hash(("value", *self.made.items(), len(self.way)))
        self.way.append((position, at, dict.fromkeys(range(bound), 0.0)))
        return at

    def end(self, *, counted: bool = True) -> None:
        """Keep what the descent came to (if it is one that is `counted`), and learn from it."""
        if counted:
            self.found.add(self.product)
        if self.lost:
            return
        self.runs += 1
        for path in self.totals.keys() | self.made.keys():
            before = self.totals.get(path, 0.0)
            self.totals[path] = before + (self.made.get(path, 0) - before) / self.runs
        if len(self.below) > MOST_POSITIONS:
            self.below.clear()
            self.behind.clear()
        behind: Position = END
        self.below[behind] = 0.0
        for position, at, guesses in reversed(self.way):
            self.behind.setdefault(position, {})[at] = behind
            guesses[at] = self.below[behind]
            self.below[position] = sum_of(guesses.values())
            behind = position

    def _left(self, path: str) -> float:
        return max(self.totals.get(path, 1.0) - self.made.get(path, 0), 1.0)

    def _drawn(self, guesses: Sequence[float]) -> int:
        top = max(guesses)
        shares = [exp(guess - top) for guess in guesses]
        whole = sum(shares)
        odds = [(1 - EVENLY) * share / whole + EVENLY / len(shares) for share in shares]
        point = self.random()
        at = 0
        while at < len(odds) - 1 and point >= odds[at]:
            point -= odds[at]
            at += 1
        self.product -= log(odds[at])
        return at

    def estimate(self) -> Estimate | None:
        """Return how many leaves the tree has."""
        return self.found.estimate()


def sum_of(logs: Iterable[float]) -> float:
    """Return the logarithm of the sum of the numbers with these logarithms."""
    each = list(logs)
    top = max(each, default=-inf)
    return top + log(sum(exp(one - top) for one in each))
