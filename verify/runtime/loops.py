"""The backward-jump counter: what stops a loop that performs no operation.

Promises: a task runs undisturbed between two operations, so one counter, refilled at each
operation, is a counter a task. `tick` is what `verify.instrument` puts before every backward jump
of the program under test; when the count is used up it hands the task to `execution.spinning`. The
count decides, not the clock, so the verdict replays.
"""

from __future__ import annotations

from verify.runtime import current


class Budget:
    """Backward jumps left until the next operation."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = 1 << 60


budget = Budget()


def tick(budget: Budget = budget) -> None:
    """Count one backward jump of the program under test."""
    budget.left = left = budget.left - 1
    if left < 0:
        _used_up()


def _used_up() -> None:
    running = current.controlled()
    if running is None:
        budget.left = 1 << 60
        return
    running.spinning()
