"""Cornering: schedules that drive threads into one cycle of the lock order.

The algorithm is DeadlockFuzzer's (Joshi, Park, Sen, Naik, PLDI 2009).

Executions run at random. A task that is about to take a lock of the cycle while it holds the one before it is held back
there, as long as others can go on. Once the tasks held back close the circle (each wants the lock itself that the next
one holds) they are let go, and nothing can keep them from waiting for each other. Where everybody is held back without
a circle, or nothing comes of it for long, one of them, drawn at random, goes on (the paper's thrashing).

Deviations: tasks are told by the classes of the locks they hold and want; every other execution asks for the source
lines of the cycle, too.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from verify.lock_order.classes import DECLARED
from verify.lock_order.listener import LockOrderGraph, lock_in
from verify.strategies.random_walk import RandomWalk

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from verify.abc import ExecutionView, T, TaskView

__all__ = ["Cornered", "Part"]

PATIENCE: Final = 300
"""Choices that tasks are held back for without another one coming."""


class Part(NamedTuple):
    """One thread's part: it holds a lock of class `held` and wants one of class `wanted`, at `site`."""

    held: str
    wanted: str
    site: str


class _Stand(NamedTuple):
    task: TaskView
    wanted: Hashable
    held: frozenset[Hashable]
    parts: tuple[int, ...]


class Cornered(LockOrderGraph):
    """The strategy, which also listens, so as to know what each task holds."""

    name = "cornered"

    def __init__(self, parts: Sequence[Part], seed: int = 0) -> None:
        super().__init__()
        self.parts = tuple(parts)
        self.seed = seed
        self.rng = Random(seed)
        self.walk = RandomWalk(seed)
        self.executions = 0
        self.listener = self
        self._begin()

    def _begin(self) -> None:
        self.view: ExecutionView | None = None
        self.paused: dict[int, _Stand] = {}
        self.freed: set[int] = set()
        self.idle = 0
        self.cornered: tuple[TaskView, ...] = ()

    def new_execution(self) -> bool:
        """Begin again; there is always another one."""
        self.executions += 1
        self._begin()
        return self.walk.new_execution()

    def draw(self, bound: int) -> int:
        """Draw evenly."""
        return self.walk.draw(bound)

    def worth(self, executions: int) -> str:
        """Say what `executions` without the deadlock are worth."""
        return f"{executions} executions steered into one cycle: no bound holds"

    def start(self, execution: ExecutionView) -> None:
        """Keep the view of the execution."""
        super().start(execution)
        self.view = execution

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """A task went on: it stands there no more."""
        self.paused.pop(task.index, None)
        self.freed.discard(task.index)
        super().operation(execution, task, op, target)

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Let anybody go on but those that stand where the cycle wants them."""
        free = self.walk.choose(enabled, current)
        if self.cornered:
            return next((task for task in enabled if task in self.cornered), free)
        self._hold_back(enabled)
        if self.paused:
            self.cornered = self.closed()
            if self.cornered:
                return next((task for task in enabled if task in self.cornered), free)
        self.idle += 1
        others = [task for task in enabled if task.index not in self.paused]
        if others and self.idle <= PATIENCE:
            return free if free in others else others[int(self.rng.random() * len(others))]
        stand = [task for task in enabled if task.index in self.paused] or list(enabled)
        let_go = stand[int(self.rng.random() * len(stand))]
        self.paused.pop(let_go.index, None)
        self.freed.add(let_go.index)
        self.idle = 0
        return let_go

    def _hold_back(self, enabled: Sequence[TaskView]) -> None:
        strict = self.executions % 2 == 1
        for task in enabled:
            if task.index in self.paused or task.index in self.freed or task.done:
                continue
            found = self._stands(task, strict=strict)
            if found is not None:
                self.paused[task.index] = found
                self.idle = 0

    def _stands(self, task: TaskView, *, strict: bool) -> _Stand | None:
        """Return which parts a task stands at, about to take a lock or waiting for it; None: at none of them."""
        lock = lock_in(task.op, task.target)
        if lock is None or self.view is None:
            return None
        wanted = self._key(lock)
        name = self.lock(wanted).id
        if all(part.wanted != name for part in self.parts):
            return None
        held = self.held(task)
        classes = {self.lock(key).id for key in held}
        site = self.view.site_of(task) if strict else ""
        fitting = tuple(
            at
            for at, part in enumerate(self.parts)
            if part.wanted == name and part.held in classes and (not strict or part.site == site)
        )
        if not fitting or wanted in held:
            return None
        return _Stand(task, wanted, frozenset(held), fitting)

    def closed(self) -> tuple[TaskView, ...]:
        """Return tasks, one for each part, of which each wants the lock that the next one holds; or nothing.

        Those held back stand there, and those that wait already for what the others hold.
        """
        if self.view is None:
            return ()
        stands = list(self.paused.values())
        for task in self.view.tasks:
            if task.index not in self.paused and self.view.waits_for(task) is not None:
                found = self._stands(task, strict=False) or self._inside(task)
                if found is not None:
                    stands.append(found)
        return self._chain(stands, []) if len(stands) >= len(self.parts) else ()

    def _inside(self, task: TaskView) -> _Stand | None:
        """Return the same for a task that waits within the taking of a declared lock, which it last announced."""
        held = self.held(task)
        if not held or self.lock(held[-1]).kind != DECLARED:
            return None
        name = self.lock(held[-1]).id
        classes = {self.lock(key).id for key in held[:-1]}
        fitting = tuple(
            at for at, part in enumerate(self.parts) if part.wanted == name and part.held in classes
        )
        return _Stand(task, held[-1], frozenset(held[:-1]), fitting) if fitting else None

    def _chain(self, stands: list[_Stand], chosen: list[_Stand]) -> tuple[TaskView, ...]:
        at = len(chosen)
        if at == len(self.parts):
            closed = chosen[-1].wanted in chosen[0].held
            return tuple(each.task for each in chosen) if closed else ()
        for each in stands:
            fits = at in each.parts and each not in chosen
            if fits and (not chosen or chosen[-1].wanted in each.held):
                found = self._chain(stands, [*chosen, each])
                if found:
                    return found
        return ()
