"""URW: uniform random walk over interleavings (Zhao, Wolff, Mathur, Roychoudhury, ASPLOS 2025).

A task goes next with probability w / sum(w), w being the number of operations it has left, those of
the tasks it will start included. For tasks that do not block each other every interleaving is then
equally likely; a walk that picks among tasks evenly prefers those in which all advance alike.

Deviations, admitted: the counts are not taken from one profile run but learned on the way, as the
mean over the executions that ran to their end (the first execution is an even random walk); tasks that
are blocked are left out of the draw, so that where tasks wait for each other nothing is promised.
A task that gives way (sleep, failed try, time-out) is passed over once, as a loop that polls has no count.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from verify.abc import Detector
from verify.strategies.weights import Weights
from verify.strategies.yields import gave_way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import ExecutionView, T, TaskView

BEGIN = "begin"


class URW:
    """Every interleaving with the same probability, as far as counts are known."""

    name = "urw"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.random = Random(seed).random
        self.weights = Weights()
        self.listener = Steps(self.weights)
        self.given_way: dict[int, int] = {}

    def new_execution(self) -> bool:
        """Learn from the execution that ended, and start to count down again."""
        self.listener.settle()
        self.weights.begin()
        self.given_way = {}
        return True

    def restart(self) -> None:
        """Forget the counts: the program's scheduling points have changed."""
        self.weights.forget()
        self.listener.fresh = True

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Draw a task by what each has left."""
        if gave_way(current, self.given_way):
            enabled = [task for task in enabled if task is not current]
        chosen = draw_by(enabled, self.weights, self.random())
        if chosen.op == BEGIN:
            self.listener.begun(chosen)
        return chosen

    def draw(self, bound: int) -> int:
        """Draw evenly."""
        return int(self.random() * bound)

    def worth(self, executions: int) -> str:
        """Say what `executions` passes are worth."""
        return (
            f"{executions} executions of the uniform random walk: where tasks do not block each other every "
            "interleaving was equally likely; for others no bound holds"
        )


def draw_by(enabled: Sequence[T], weights: Weights, point: float) -> T:
    """Return the task on which `point`, from [0, 1), falls when each gets a share by what it has left."""
    left = weights.left
    for task in enabled:
        if task.index not in left:
            weights.of(task)
    shares = [left[task.index] or 1.0 for task in enabled]
    rest = point * sum(shares)
    for task, share in zip(enabled, shares, strict=True):
        rest -= share
        if rest < 0:
            return task
    return enabled[-1]


class Steps(Detector):
    """Counts operations by task: a task's first step, up to its first operation, counts as one."""

    name = "steps of urw"

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.begin: set[int] = set()
        self.whole = False
        self.fresh = True

    def start(self, execution: ExecutionView) -> None:
        """Begin a new execution."""
        del execution
        self.begin = {0}
        self.whole = False
        self.fresh = False

    def begun(self, task: TaskView) -> None:
        """`task` is about to take its first step."""
        if task.index not in self.begin:
            self.begin.add(task.index)
            self.weights.count(task)
            self.weights.spend(task)

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Count one operation."""
        del execution, op, target
        if task.index not in self.begin:
            self.begun(task)
        self.weights.count(task)
        self.weights.spend(task)

    def end(self, execution: ExecutionView) -> None:
        """The execution ran to its end: its counts are whole."""
        del execution
        self.whole = True

    def settle(self) -> None:
        """Hand the counts of the last execution over."""
        if not self.fresh:
            self.weights.learn(whole=self.whole)
            self.fresh = True
