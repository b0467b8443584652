"""What a schedule costs: preemptions first, then choices other than the default, then steps.

Promises: a preemption is what depth-first search bounds (`verify.strategies.yields.alternatives`): leaving a task that
could go on and has not given way, or firing a timer while a task could go on without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from verify.builds import is_held
from verify.strategies.yields import alternatives

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import Strategy, T


class Cost(NamedTuple):
    """Less is simpler. `deviations` are the choices that are not the default, preemptions included.

    `steps` are the operations that took effect.
    """

    preemptions: int
    deviations: int
    steps: int


class Metered:
    """An inner strategy whose choices are counted.

    `stock` leaves out preemptions where no stock build could hand over: the inner strategy is not asked there.
    """

    def __init__(self, inner: Strategy, *, stock: bool = False) -> None:
        self.inner = inner
        self.stock = stock
        self.seen: dict[int, int] = {}
        self.preemptions = 0
        self.deviations = 0

    def new_execution(self) -> bool:
        """Begin to count anew."""
        self.seen = {}
        self.preemptions = self.deviations = 0
        return self.inner.new_execution()

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Choose as the inner strategy, and count."""
        order, free = alternatives(enabled, current, self.seen)
        if self.stock and is_held(current):
            return current
        chosen = self.inner.choose(enabled, current)
        at = order.index(chosen)
        self.deviations += at > 0
        self.preemptions += at >= free
        return chosen

    def draw(self, bound: int) -> int:
        """Draw as the inner strategy."""
        return self.inner.draw(bound)

    def cost(self, steps: int) -> Cost:
        """Return what the execution cost."""
        return Cost(self.preemptions, self.deviations, steps)
