"""Which tasks can go on: the list of enabled ones, and the timers.

Promises: `enabled` holds the runnable tasks and the one sleeper whose deadline is next, in creation
order; it changes when something happens to a task and is never searched. Timers fire in deadline
order, whoever else is enabled.
"""

from __future__ import annotations

from bisect import insort
from typing import TYPE_CHECKING

from verify.abc import CLOCK, ON_WAKING
from verify.runtime.clock import Clock

if TYPE_CHECKING:
    from verify.runtime.task import Task


class EnabledTasks:
    """The part of an execution that gates and timers talk to. `unseen`: see `verify.abc.ExecutionView`."""

    __slots__ = ("clock", "enabled", "timer_task", "timers", "unseen")

    def __init__(self, clock_tick: float) -> None:
        self.clock = Clock(clock_tick)
        self.enabled: list[Task] = []
        self.timers: list[tuple[float, int, Task]] = []
        self.timer_task: Task | None = None
        self.unseen = 0

    def read_clock(self) -> float:
        """Return the time, which takes one tick."""
        self.unseen += CLOCK
        return self.clock.read()

    def advance(self, seconds: float) -> None:
        """Let `seconds` of virtual time pass in the running step."""
        self.unseen += CLOCK
        self.clock.advance(seconds)

    def enable(self, task: Task) -> None:
        """The task's pending operation can take effect from now on."""
        if task.runnable:
            return
        task.runnable = True
        if task.timer is None:
            insort(self.enabled, task, key=order_of)
            return
        if len(self.timers) > 1:
            self.unseen += CLOCK
        if task is not self.timer_task:
            insort(self.enabled, task, key=order_of)
        self._next_timer()

    def disable(self, task: Task) -> None:
        """The task's pending operation cannot take effect from now on."""
        if not task.runnable:
            return
        task.runnable = False
        if task is not self.timer_task:
            self.enabled.remove(task)
        if task.timer is not None:
            if len(self.timers) > 1:
                self.unseen += CLOCK
            self._next_timer()

    def set_timer(self, task: Task, timeout: float) -> None:
        """Let the task's wait end by itself after `timeout` seconds."""
        self.unseen += CLOCK
        task.deadline = deadline = self.clock.now + max(timeout, 0.0)
        task.timer = timer = (deadline, task.index, task)
        insort(self.timers, timer, key=_timer_order)
        self._next_timer()

    def cancel_timer(self, task: Task, unseen: int = CLOCK) -> None:
        """The task no longer waits for a deadline; `ON_WAKING` if it is the caller itself."""
        if task.timer is not None:
            self.unseen += unseen
            self.timers.remove(task.timer)
            task.timer = None
            task.deadline = None
            if task is self.timer_task:
                self.timer_task = None
                if not task.runnable:
                    self.enabled.remove(task)
            self._next_timer()

    def _next_timer(self) -> None:
        # Invariant: `timer_task` is the sleeper with the earliest deadline that nothing else has
        # enabled; it stands in `enabled` beside the runnable tasks. Timers fire in deadline order,
        # whoever else is enabled.
        first = None
        for _, _, task in self.timers:
            if not task.runnable:
                first = task
                break
        last = self.timer_task
        if first is last:
            return
        self.timer_task = first
        if last is not None and not last.runnable:
            self.enabled.remove(last)
        if first is not None:
            insort(self.enabled, first, key=order_of)

    def wake(self, me: Task) -> None:
        """The running task settles that it runs: no gate, no timer, enabled."""
        gate = me.gate
        if gate is not None:
            gate.waiting.remove(me)
            me.gate = None
        self.cancel_timer(me, ON_WAKING)
        if not me.runnable:
            me.runnable = True
            insort(self.enabled, me, key=order_of)


def order_of(task: Task) -> int:
    """Return a task's place in creation order."""
    return task.index


def _timer_order(timer: tuple[float, int, Task]) -> tuple[float, int]:
    return timer[0], timer[1]
