"""SURW: selectively uniform random walk (Zhao, Wolff, Mathur, Roychoudhury, ASPLOS 2025).

Operations on a few shared objects are of interest. Which task performs the next of these is drawn by
how many each has left; every other task is held back where it stands before one of its own, and
what lies between is decided by an inner scheduler. So the orders of the interesting operations are close to
uniform, however much else the program does. The objects of interest rotate: each execution
draws one, all, or some of those that more than one task uses.

Deviations, admitted: counts and shared objects are profiled on the first executions and on ever fewer
of the later ones, the greatest count kept; the inner scheduler is a random walk or fixed random
priorities (a task that gives way falls to the lowest), by a coin; an intended task that is blocked, or
that an execution's length of other steps does not bring to its operation, is given up.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from verify.abc import Detector
from verify.strategies.dependence import APART, role_of
from verify.strategies.urw import draw_by
from verify.strategies.weights import Weights
from verify.strategies.yields import gave_way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import ExecutionView, T, TaskView

SINGLE, WHOLE = 0.6, 0.8
"""Shares of executions in which one object, or else all of them, are of interest (below the first, the second)."""


class SURW:
    """Uniform over the orders of the operations on a few shared objects."""

    name = "surw"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.random = Random(seed).random
        self.weights = Weights()
        self.profile = Profile(self)
        self.listener = self.profile
        self.runs = 0
        self.objects: frozenset[str] = frozenset()
        self.walking = True
        self.intended = -1
        self.held: set[int] = set()
        self.idle = 0
        self.born = 0
        self.priorities: dict[int, float] = {}
        self.given_way: dict[int, int] = {}

    def new_execution(self) -> bool:
        """Draw the objects of interest and the inner scheduler."""
        self.runs += 1
        self.profile.wanted = self.runs & (self.runs - 1) == 0  # 1, 2, 4, 8, ...
        self.objects = self._interest()
        self.weights.begin(self.profile.totals(self.objects))
        self.walking = self.random() < 0.5
        self.priorities = {}
        self.given_way = {}
        self.intended = -1
        self.idle = 0
        self.born = 0
        self.held.clear()
        return True

    def restart(self) -> None:
        """Forget the profile: the program's scheduling points have changed."""
        self.profile.forget()
        self.runs = 0

    def _interest(self) -> frozenset[str]:
        shared = self.profile.shared()
        if not shared:
            return frozenset()
        point = self.random()
        if point < SINGLE:
            return frozenset({shared[int(self.random() * len(shared))]})
        if point < WHOLE:
            return frozenset(shared)
        return frozenset(key for key in shared if self.random() < 0.5)

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Pick by the inner scheduler among those that are not held back before an operation of interest."""
        demoted = self._demote(current)
        if not self.objects:
            return self._inner(list(enabled), demoted)
        if enabled[-1].index >= self.born:
            self._greet(enabled)
        self.idle += 1
        if self.intended < 0 or self.idle > self.profile.length:
            self._intend(enabled)
        while True:
            held = self.held
            free = [task for task in enabled if task.index not in held]
            while free:
                task = self._inner(free, demoted)
                if task.index == self.intended or not self._interesting(task):
                    return task
                held.add(task.index)
                free.remove(task)
            # The intended task is blocked or has ended: another one that can go on.
            self._intend(enabled)

    def _greet(self, enabled: Sequence[T]) -> None:
        """Let new tasks take their share from their parents, and the intention in the same proportion."""
        weights = self.weights
        for task in enabled:
            if task.index >= self.born:
                parent = weights.parent_of(task)
                before = weights.left.get(parent, 0.0)
                own = weights.of(task)
                if parent == self.intended and self.random() * before < own:
                    self.intended = task.index
        self.born = enabled[-1].index + 1

    def _interesting(self, task: TaskView) -> bool:
        return role_of(task.target) in self.objects and task.op not in APART

    def _intend(self, enabled: Sequence[T]) -> None:
        """Draw who performs the next operation of interest, by what each has left of them."""
        left = self.weights.left
        for task in enabled:
            if not left.get(task.index) and self._interesting(task):
                left[task.index] = 1.0  # more than was profiled
        ready = [task for task in enabled if left.get(task.index)]
        self.intended = draw_by(ready or enabled, self.weights, self.random()).index
        self.held.discard(self.intended)
        self.idle = 0

    def satisfied(self) -> None:
        """Draw a new task before the next step. Who is held stays so until it is drawn: it has not moved."""
        self.intended = -1

    def _inner(self, tasks: Sequence[T], demoted: int) -> T:
        if self.walking:
            task = tasks[int(self.random() * len(tasks))]
            if task.index == demoted:  # who gives way is passed over, once
                task = tasks[int(self.random() * len(tasks))]
            return task
        priorities = self.priorities
        best, top = tasks[0], -1e18
        for task in tasks:
            priority = priorities.get(task.index)
            if priority is None:
                priority = priorities[task.index] = self.random()
            if priority > top:
                best, top = task, priority
        return best

    def _demote(self, task: T) -> int:
        if gave_way(task, self.given_way):
            self.priorities[task.index] = -float(sum(self.given_way.values()))
            return task.index
        return -1

    def draw(self, bound: int) -> int:
        """Draw evenly."""
        return int(self.random() * bound)

    def worth(self, executions: int) -> str:
        """Say what `executions` passes are worth."""
        shared = len(self.profile.shared())
        return (
            f"{executions} executions of the selectively uniform random walk over {shared} shared objects: "
            "orders of the operations on the objects drawn were close to uniform; no bound holds"
        )


class Profile(Detector):
    """Counts operations by object and task, and tells the walk when one of interest happened."""

    name = "profile of surw"

    def __init__(self, walk: SURW) -> None:
        self.walk = walk
        self.counts: dict[str, dict[str, float]] = {}
        self.now: dict[str, dict[str, float]] = {}
        self.wanted = True
        self.steps = 0
        self.length = 100
        self.ordered: list[str] | None = None

    def forget(self) -> None:
        """Forget what was counted."""
        self.counts = {}
        self.now = {}
        self.ordered = None

    def shared(self) -> list[str]:
        """Return the names of the objects that more than one task used, in order."""
        self._take_in()
        if self.ordered is None:
            self.ordered = sorted(key for key, by in self.counts.items() if len(by) > 1)
        return self.ordered

    def totals(self, objects: frozenset[str]) -> dict[str, float]:
        """Return how many operations on `objects` each task makes."""
        sums: dict[str, float] = {}
        for key in objects:
            for path, count in self.counts[key].items():
                sums[path] = sums.get(path, 0.0) + count
        return sums

    def _take_in(self) -> None:
        if not self.now:
            return
        for key, by in self.now.items():
            most = self.counts.setdefault(key, {})
            for path, count in by.items():
                most[path] = max(most.get(path, 0.0), count)
        self.now = {}
        self.ordered = None

    def start(self, execution: ExecutionView) -> None:
        """Begin a new execution."""
        del execution
        self.now = {}
        self.steps = 0

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Count one operation; if it was of interest its task has one less left."""
        del execution
        self.steps += 1
        self.walk.held.discard(task.index)
        if op in APART or op == "Thread.join":
            return
        key = role_of(target)
        if self.wanted:
            by = self.now.setdefault(key, {})
            by[task.path] = by.get(task.path, 0.0) + 1.0
        walk = self.walk
        if key in walk.objects:
            walk.weights.spend(task)
            walk.satisfied()

    def end(self, execution: ExecutionView) -> None:
        """Remember how long an execution is."""
        del execution
        self.length = max(self.length, self.steps)
