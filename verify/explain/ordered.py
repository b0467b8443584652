"""Schedules that meet given orders: drawn at random, and those with the fewest preemptions.

Promises: a task that stands before an event is held back until all that its orders put before the event has happened.
Where everybody is held back, or nobody else can go on, somebody goes on all the same and the execution does not count
as one that meets the orders (`Watch.met`).
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from verify.abc import Detector
from verify.explain.events import Counter
from verify.strategies.dfs import DFS
from verify.strategies.values import Values
from verify.strategies.yields import alternatives, gave_way

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from verify.abc import ExecutionView, T, TaskView
    from verify.explain.events import Event, Order

STAY = (0.0, 0.5, 0.8, 0.95, 1.0)
"""Chances of going on with the current task; executions take turns at them."""
LAZY = (1.0,)
"""Never leaves a task that may go on: few preemptions."""


class Watch(Detector):
    """Watches over orders in one execution after the other."""

    name = "watch"

    def __init__(self, orders: Iterable[Order]) -> None:
        self.orders = list(orders)
        self.before: dict[Event, list[Event]] = {}
        for first, then in self.orders:
            self.before.setdefault(then, []).append(first)
        self.begin()

    def begin(self) -> None:
        """Forget the last execution."""
        self.counter = Counter()
        self.done: set[Event] = set()
        self.broken = False

    @property
    def met(self) -> bool:
        """Whether the execution met all orders: what is to come first did, and before the other."""
        return not self.broken and all(first in self.done for first, _ in self.orders)

    def allowed(self, enabled: Sequence[T]) -> list[T]:
        """Return those of `enabled` that are not held back; all, and the orders are broken, if none is left."""
        free = [task for task in enabled if not self._held(task)] if self.before else list(enabled)
        if free:
            return free
        self.broken = True
        return list(enabled)

    def _held(self, task: TaskView) -> bool:
        event = self.counter.pending(task)
        return event is not None and not self._ready(event)

    def _ready(self, event: Event) -> bool:
        return all(first in self.done for first in self.before.get(event, ()))

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Note what has happened."""
        del execution, op, target
        event = self.counter.happened(task)
        if event is not None:
            self.broken = self.broken or not self._ready(event)
            self.done.add(event)


class Ordered:
    """The strategy that draws at random; `values` are those the program draws, 0 beyond them."""

    name = "ordered"

    def __init__(
        self,
        orders: Iterable[Order],
        values: Sequence[int] = (),
        *,
        seed: int = 0,
        stay: Sequence[float] = STAY,
    ) -> None:
        self.listener = Watch(orders)
        self.values = values
        self.rng = Random(seed)
        self.rates = stay
        self.executions = 0

    def new_execution(self) -> bool:
        """Take the next rate; there is always another execution."""
        self.listener.begin()
        self.drawing = Values(self.values)
        self.seen: dict[int, int] = {}
        self.stay = self.rates[self.executions % len(self.rates)]
        self.executions += 1
        return True

    @property
    def met(self) -> bool:
        """Whether the execution met all orders."""
        return self.listener.met

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Pick at random among those not held back."""
        free = self.listener.allowed(enabled)
        stays = current.runnable and not gave_way(current, self.seen) and current in free
        if stays and self.rng.random() < self.stay:
            return current
        return free[int(self.rng.random() * len(free))]

    def draw(self, bound: int) -> int:
        """Take the next value, or 0."""
        return self.drawing.draw(bound)


class Thrifty(DFS):
    """Every schedule that meets the orders, preempts only for their sake, and does so at most `limit` times.

    Branch and bound: an execution that preempts more often has no alternatives below.
    """

    name = "thrifty"

    def __init__(self, orders: Iterable[Order], values: Sequence[int], limit: int) -> None:
        super().__init__(preemptions=0)
        self.listener = Watch(orders)
        self.values = values
        self.limit = limit

    def new_execution(self) -> bool:
        """Move on to the next schedule."""
        self.listener.begin()
        self.drawing = Values(self.values)
        self.forced_out = 0
        return super().new_execution()

    def descends(self) -> bool:
        """Never: every execution is one of the tree's."""
        return False

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Take the next alternative among those not held back."""
        order, free = alternatives(enabled, current, self.given_way)
        allowed = self.listener.allowed(order)
        at_no_cost = sum(task in allowed for task in order[:free])
        self.forced_out += not at_no_cost
        if self.listener.broken or self.forced_out > self.limit:
            return allowed[0]
        return allowed[self._take(at_no_cost or len(allowed), len(allowed))]

    def draw(self, bound: int) -> int:
        """Take the next value, or 0."""
        return self.drawing.draw(bound)
