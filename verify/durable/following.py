"""The strategy that goes through the neighbourhood of a recorded run on another text.

1. The first execution follows the recorded order: the thread goes on whose next mark comes first in it.
2. Every second one after it holds a task back before a mark until the orders allow it, and is random otherwise.
3. The others follow the recorded order and deviate at a drawn rate.

Promises: the same seed makes the same executions. What breaks an order all the same is counted (`Guide.whys`).
Does not: know the random values that the program drew; it draws its own.
"""

from __future__ import annotations

from bisect import bisect_left
from random import Random
from typing import TYPE_CHECKING

from verify.durable.guide import Guide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traces.anchors import Mark
    from verify.abc import T, TaskView
    from verify.durable.guide import Old

RATES = (0.05, 0.1, 0.3, 0.02)
STAY = (0.0, 0.5, 0.8, 0.95, 1.0)
LAST = 1 << 60
PATIENCE = 200
"""Choices without a recorded mark after which a follower leaves one choice to chance."""


class Following:
    """The strategy; `listener` is its guide, `stuck` why the first execution could not follow to the end."""

    name = "anchors"

    def __init__(self, old: Old, seed: int = 0) -> None:
        self.old = old
        self.seed = seed
        self.rng = Random(seed)
        self.listener = Guide(old)
        self.executions = 0
        self.stuck = ""

    def new_execution(self) -> bool:
        """Draw how this execution goes; there is always another."""
        number = self.executions
        self.executions += 1
        self.holds = self.listener.asking = number % 2 == 1
        self.rate = 0.0 if number == 0 else RATES[number // 2 % len(RATES)]
        self.stay = STAY[number // 2 % len(STAY)]
        self.listener.looking = self._look if number == 0 else None
        self.idle = 0
        self.seen = 0
        return True

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Follow, or hold back."""
        return self._hold(enabled, current) if self.holds else self._follow(enabled, current)

    def draw(self, bound: int) -> int:
        """Draw evenly."""
        return int(self.rng.random() * bound)

    def worth(self, executions: int) -> str:
        """Say what `executions` without the failure are worth."""
        return f"{executions} executions around a recorded run: no bound holds"

    def _hold(self, enabled: Sequence[T], current: T) -> T:
        free = [task for task in enabled if not self._unready(task)]
        if not free:
            free = list(enabled)
        if current in free and current.runnable and self.rng.random() < self.stay:
            return current
        return free[int(self.rng.random() * len(free))]

    def _unready(self, task: TaskView) -> list[int]:
        mark = self.listener.pending(task)
        return [] if mark is None else self.listener.unready(mark)

    def _follow(self, enabled: Sequence[T], current: T) -> T:
        self._count_idle()
        if self.idle > PATIENCE or (self.rate and self.rng.random() < self.rate):
            self.idle = 0
            return enabled[int(self.rng.random() * len(enabled))]
        ranks = {task.index: self._rank(task) for task in enabled}
        best = min(ranks.values())
        if ranks.get(current.index) == best and (current.runnable or best < LAST):
            return current
        ready = [task for task in enabled if task.runnable] or list(enabled)
        return next((task for task in ready if ranks[task.index] == best), ready[0])

    def _count_idle(self) -> None:
        made = len(self.listener.done)
        self.idle = 0 if made != self.seen else self.idle + 1
        self.seen = made

    def _rank(self, task: TaskView) -> int:
        guide = self.listener
        assert guide.execution is not None
        track = self.old.threads.number(guide.execution, task)
        return LAST if track is None else self._next(track)

    def _next(self, track: int) -> int:
        """Return the place, in the recorded order, of the next mark of a thread that can still be made."""
        marks, steps = self.old.marks, self.old.steps_of[track]
        for place in steps[bisect_left(steps, self.listener.at.get(track, 0)) :]:
            if self.old.alive(marks[place]) and marks[place] not in self.listener.done:
                return place
        return LAST

    def _look(self, made: Mark) -> None:
        """Note why the recorded order ends here: its next mark, which is not the one made, cannot be made."""
        first = min(self._next(track) for track in range(len(self.old.anchors.tracks)))
        if self.stuck or first >= self.old.recorded.get(made, -1):
            return
        mark = self.old.marks[first]
        why = self.listener.why_not(mark)
        if why:
            self.stuck = f"{self.old.text(mark)} (step {first} as recorded): {why}"
