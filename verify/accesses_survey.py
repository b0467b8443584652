"""Which pairs threads touch without an order between them: the survey that `access` and `auto` learn from.

Promises: two accesses to one part of one object, by different tasks, one of them a write, are a
conflict unless starting and joining threads orders them (vector clocks over exactly those, after
Mattern 1989) or, where `locks` is asked for, they hold a lock in common (Eraser's discipline, Savage
et al., TOCS 1997, by pairs of accesses). A conflict need not happen side by side in the surveyed
run, so the first run shows most of them. Both accesses' pairs are kept.
Does not know other orders (events, queues): what they order is a pair too many, never one too few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import Detector
from verify.runtime.task import Task

if TYPE_CHECKING:
    from verify.abc import ExecutionView, Finding, TaskView
    from verify.accesses import Shared, Site
    from verify.runtime.execution import Execution

NO_LOCKS: frozenset[int] = frozenset()


class Survey(Detector):
    """Sees every access of one execution; `found` are the pairs in conflict."""

    name = "survey"

    def __init__(self, *, locks: bool) -> None:
        self.locks = locks
        self.found: set[str] = set()
        self.clocks: dict[int, dict[int, int]] = {}
        self.born: dict[str, dict[int, int]] = {}

    def start(self, execution: ExecutionView) -> None:
        """Forget the last execution."""
        del execution
        self.found = set()
        self.clocks = {}
        self.born = {}

    def operation(
        self, execution: ExecutionView, task: TaskView, op: str, target: object
    ) -> Finding | None:
        """Follow the order that starting and joining threads makes."""
        del execution
        if op == "Thread.start" and isinstance(task, Task):
            clock = self.clock(task)
            self.born[f"{task.path}/{task.children + 1}"] = dict(clock)
            clock[task.index] += 1
        elif op == "Thread.join" and isinstance(target, Task) and target.done:
            clock = self.clock(task)
            for index, epoch in self.clock(target).items():
                clock[index] = max(clock.get(index, 0), epoch)
        return None

    def clock(self, task: TaskView) -> dict[int, int]:
        """Return up to which epoch of each task everything is ordered before what `task` does now."""
        clock = self.clocks.get(task.index)
        if clock is None:
            clock = self.clocks[task.index] = self.born.get(task.path, {})
            clock[task.index] = 1
        return clock

    def see(self, execution: Execution, me: Task, entry: Shared, site: Site, kind: str) -> None:
        """Compare one access with the last ones of its kind by other tasks."""
        history = entry.history.setdefault(site.slot, {})
        write = site.op == "write"
        held = NO_LOCKS
        if self.locks:
            held = frozenset(id(lock) for lock in execution.held_by(me))
        clock = self.clock(me)
        pair = f"{kind}.{site.field}"
        for (index, wrote, locks, other), epoch in history.items():
            if (
                index != me.index
                and (write or wrote)
                and epoch > clock.get(index, 0)
                and not locks & held
            ):
                self.found.add(pair)
                self.found.add(other)
        history[me.index, write, held, pair] = clock[me.index]
