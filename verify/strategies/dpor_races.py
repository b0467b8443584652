"""Races of an execution, and what their reversals ask of the tree: the second half of source-DPOR.

Promises: a race is a pair of steps of different tasks that depend on each other and that nothing between orders. For
each, one of the tasks that can begin an execution in which it is the other way round (an initial) is asked for at the
node before its first step, unless one of them is there or asleep. Steps that have been looked at once are kept,
with what happens before them, for all executions that begin with them.

What happens before a step is a set of bits, one a step: asking and joining are single operations on integers, which
in CPython cost less than a vector clock of four entries, and answer the same.

An operation that may have to wait: what it depends on last (the release of a lock) may be what let it go on, which
cannot be reversed. So the history of its object is gone back through, past every step before which the task could
not go on, to one before which it could: the acquisition of the lock. The edge from release to acquisition, which would
hide it, counts only for what comes later. Operations that wait at the end of an execution, or that its end cut
short, are looked at as if they had come next.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING

from verify.dependence import FREES, NEEDS_FREE, TIME, overlap, whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verify.dependence import Access, Key
    from verify.steps import Standing, Step, Steps
    from verify.strategies.dpor_tree import Node


class Races:
    """Looks at the steps of executions that share their beginnings."""

    def __init__(self, steps: Steps, nodes: dict[int, Node]) -> None:
        self.steps = steps.list
        self.born = steps.born
        self.nodes = nodes
        self.seen = 0
        self.found = 0
        self.mine: dict[int, list[int]] = {}
        self.history: dict[Key, list[int]] = {}
        self.parts: dict[Key, list[tuple[int, int, int, bool]]] = {}
        self.sweeping: list[int] = []

    def cut(self, count: int) -> None:
        """Forget all steps but the first `count`; to be called before they are taken out of the list."""
        while self.seen > count:
            self.seen -= 1
            step = self.steps[self.seen]
            self.mine[step.task].pop()
            for key, _ in step.accesses:
                if isinstance(key, tuple):
                    self.parts[whole(key)[0]].pop()
                else:
                    self.history[key].pop()
            if self.sweeping and self.sweeping[-1] == self.seen:
                self.sweeping.pop()

    def look(self, end: int, born: dict[int, int]) -> None:
        """Look at the steps that are new, up to number `end`."""
        self.born = born
        steps = self.steps
        while self.seen < end:
            step = steps[self.seen]
            step.past = self._meet(step)
            self._enter(step)

    def look_ahead(self, standing: list[Standing]) -> None:
        """Look at what tasks would have done next when the execution ended."""
        for task in standing:
            self._meet(task.step)
        if self.seen:
            last = self.steps[self.seen - 1]
            node = self.nodes.get(last.begins)
            if node is not None:
                for task in standing:
                    if task.able and task.step.task in node.enabled:
                        node.asks_for((task.step.task,))

    def _enter(self, step: Step) -> None:
        at = self.seen
        self.mine.setdefault(step.task, []).append(at)
        for key, write in step.accesses:
            if isinstance(key, tuple):
                thing, lo, hi = whole(key)
                self.parts.setdefault(thing, []).append((at, lo, hi, write))
            else:
                self.history.setdefault(key, []).append(at << 1 | write)
        if step.everything:
            self.sweeping.append(at)
        self.seen = at + 1

    def _before(self, task: int) -> int:
        """What happens before the next step of a task because of its own steps, or of who made it."""
        mine = self.mine.get(task)
        at = mine[-1] if mine else self.born.get(task, -1)
        return 0 if at < 0 else self.steps[at].past | 1 << at

    def _meet(self, step: Step) -> int:
        """Find the races of a step that comes next; return what happens before it."""
        steps = self.steps
        ordered = past = self._before(step.task)
        for at in self._candidates(step, past):
            if steps[at].task == step.task or ordered >> at & 1:
                continue
            if self._reverse(at, step, ordered):
                ordered |= steps[at].past | 1 << at
        for access in step.accesses:
            for at in self._depends(access, past):
                past |= steps[at].past | 1 << at
        for at in self._sweep(step):
            past |= steps[at].past | 1 << at
        return past

    def _candidates(self, step: Step, past: int) -> list[int]:
        """Return what the step may race with, the latest first."""
        found = set(self._sweep(step))
        for access in step.accesses:
            found.update(self._depends(access, past, further=step.waits))
        return sorted(found, reverse=True)

    def _depends(self, access: Access, past: int, *, further: bool = False) -> Iterator[int]:
        """Yield the steps that an access depends on, from the latest back to a write; `further`: to one in `past`."""
        key, write = access
        if isinstance(key, tuple):
            thing, lo, hi = whole(key)
            for at, low, high, wrote in reversed(self.parts.get(thing, ())):
                if (write or wrote) and overlap((lo, hi), (low, high)):
                    yield at
            return
        for code in reversed(self.history.get(key, ())):
            if not (write or code & 1):
                continue
            at = code >> 1
            known = past >> at & 1
            if not known:
                yield at
            if code & 1 and (known or not further):
                return

    def _sweep(self, step: Step) -> Iterator[int]:
        if step.everything:
            yield from (mine[-1] for task, mine in self.mine.items() if mine and task != step.task)
        elif self.sweeping:
            yield self.sweeping[-1]

    def _reverse(self, at: int, step: Step, ordered: int) -> bool:
        """Ask for the reversal of a race; return whether it is one, whatever else the step may have waited for."""
        if _waited_for(self.steps[at], step):
            return False
        node = self.nodes.get(self.steps[at].begins)
        if node is None:
            return not step.waits
        task = step.task
        firsts = self._firsts(at)
        fresh = task not in firsts
        mask = 0
        for first in firsts.values():
            mask |= 1 << first
        initials = [other for other, first in firsts.items() if not self.steps[first].past & mask]
        able = task in node.enabled
        if fresh and able and not ordered & mask:
            initials.insert(0, task)
        self.found += 1
        return node.asks_for(initials) and ((fresh and able) or not step.waits)

    def _firsts(self, at: int) -> dict[int, int]:
        """Return each task's first step after `at` unless `at` happens before it."""
        firsts = {}
        for task, mine in self.mine.items():
            if mine and mine[-1] > at:
                first = mine[bisect_right(mine, at)]
                if not self.steps[first].past >> at & 1:
                    firsts[task] = first
        return firsts


def _waited_for(one: Step, step: Step) -> bool:
    """Say whether `step` cannot have come before `one` because a lock was held then."""
    return (
        step.ops[0] in NEEDS_FREE
        and one.ops[0] in FREES
        and not (one.everything or step.everything)
        and all(key != TIME for key, _ in step.accesses)
    )
