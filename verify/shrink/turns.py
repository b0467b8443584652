"""A schedule as turns: who runs until how many operations of its own, and then the next.

Promises: turns mean something in a run that differs. Leaving one out leaves its operations to the next turn of the same
task, or to the default (go on with the current task; else the first that can), so every subset of a schedule's turns is
a schedule. Where a turn's task cannot run its turn is over; where it has not been made yet, the run goes on by default
until it is.

After Jalbert and Sen (FSE 2010), who move and merge such segments.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from verify.abc import Detector
from verify.strategies.values import Values
from verify.strategies.yields import alternatives

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import ExecutionView, Strategy, T, TaskView


class Turn(NamedTuple):
    """`task` (a path) runs until it has made `until` operations in all; None: until it gives way by itself."""

    task: str
    until: int | None


class Counting(Detector):
    """Counts each task's operations."""

    name = "counting"

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def start(self, execution: ExecutionView) -> None:
        """Forget the last execution."""
        del execution
        self.counts = {}

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Count one."""
        del execution, op, target
        self.counts[task.path] = self.counts.get(task.path, 0) + 1


class Noted:
    """An inner strategy whose choices are kept as turns, and the values it draws."""

    def __init__(self, inner: Strategy) -> None:
        self.inner = inner
        self.listener = Counting()
        self.turns: list[Turn] = []
        self.values: list[int] = []

    def new_execution(self) -> bool:
        """Forget the last execution."""
        self.turns, self.values = [], []
        return self.inner.new_execution()

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Choose as the inner strategy; a change of the task ends a turn."""
        chosen = self.inner.choose(enabled, current)
        turns, path = self.turns, chosen.path
        if not turns or turns[-1].task != path:
            if turns:
                last = turns[-1].task
                turns[-1] = Turn(last, self.listener.counts.get(last, 0))
            turns.append(Turn(path, None))
        return chosen

    def draw(self, bound: int) -> int:
        """Draw as the inner strategy."""
        value = self.inner.draw(bound)
        self.values.append(value)
        return value


class Turns:
    """The strategy: runs its turns, then goes on by default; values beyond `values` are 0."""

    def __init__(self, turns: Sequence[Turn], values: Sequence[int] = ()) -> None:
        self.turns = turns
        self.values = values
        self.listener = Counting()
        self.drawing = Values(values)
        self.at = 0
        self.known: set[str] = set()
        self.seen: dict[int, int] = {}

    def new_execution(self) -> bool:
        """Begin with the first turn."""
        self.drawing = Values(self.values)
        self.at = 0
        self.known = set()
        self.seen = {}
        return True

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Let the task go on whose turn it is."""
        order, _ = alternatives(enabled, current, self.seen)
        ready = {task.path: task for task in enabled}
        self.known.update(ready)
        while self.at < len(self.turns):
            path, until = self.turns[self.at]
            task = ready.get(path)
            if until is None or self.listener.counts.get(path, 0) < until:
                if task is not None:
                    self.at += until is None
                    return task
                if path not in self.known:
                    break  # it is still to be made
            self.at += 1
        return order[0]

    def draw(self, bound: int) -> int:
        """Take the next value, or 0."""
        return self.drawing.draw(bound)
