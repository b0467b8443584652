"""Fair scheduling: who gives way waits for those it has kept waiting.

The algorithm of Musuvathi and Qadeer, "Fair stateless model checking", PLDI 2008. Promises: a task that gives way
(sleep, failed try, time-out) is not scheduled again before every task that, since it gave way last, was enabled all
the time or was blocked by it, and never ran, has run or is blocked. The relation "waits for" has no circle, so that of
the enabled tasks at least one may go on. Nothing is promised of tasks that never give way.

Deviation, admitted: told of steps with a choice alone, the relation takes a task that was enabled at two of them for
enabled in between.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from verify.abc import T


class Relation:
    """Who waits for whom: the paper's P, and its E, D and S for each task since it gave way last."""

    def __init__(self) -> None:
        self.waits: dict[int, set[int]] = {}
        self.enabled: dict[int, set[int]] = {}
        self.disabled: dict[int, set[int]] = {}
        self.ran: dict[int, set[int]] = {}
        self.before: set[int] = set()

    def allowed(self, enabled: Sequence[T]) -> list[T]:
        """Return those of `enabled` that wait for none of them."""
        waits = self.waits
        if not waits:
            return list(enabled)
        here = {task.index for task in enabled}
        return [task for task in enabled if not waits.get(task.index, here - here) & here]

    def step(self, task: int, enabled: Iterable[int], *, gave_way: bool) -> None:
        """Task number `task` ran; `enabled` are those that can go on now."""
        now = set(enabled)
        for waited in list(self.waits):
            self.waits[waited].discard(task)
            if not self.waits[waited]:
                del self.waits[waited]
        for other, since in self.enabled.items():
            since.intersection_update(now)
            self.ran[other].add(task)
        if task in self.disabled:
            self.disabled[task] |= self.before - now
        if gave_way:
            # Until a task gives way for the first time it owes nothing.
            if task in self.enabled:
                owed = (self.enabled[task] | self.disabled[task]) - self.ran[task]
                if owed:
                    self.waits[task] = self.waits.get(task, set()) | owed
            self.enabled[task] = now - {task}
            self.disabled[task] = set()
            self.ran[task] = set()
        self.before = now
