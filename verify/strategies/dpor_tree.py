"""The path of the execution under way through the tree of schedules: what was to be chosen, and what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.dependence import conflict

if TYPE_CHECKING:
    from collections.abc import Iterable

    from verify.steps import Step


class Node:
    """A step at which more than one task could go on.

    `enabled` are the tasks by index, and `chosen` is one of them. `todo` are those that races ask for, `done` those
    whose subtrees are finished, with the step each made here; `asleep` are those whose step here was explored from an
    earlier node and that nothing has touched since. `begins` is the length of the log when the choice was made.
    """

    __slots__ = ("asleep", "begins", "chosen", "done", "enabled", "place", "todo")

    def __init__(
        self, enabled: tuple[int, ...], chosen: int, begins: int, asleep: dict[int, Step]
    ) -> None:
        self.enabled = enabled
        self.chosen = chosen
        self.place = enabled.index(chosen)
        self.begins = begins
        self.asleep = asleep
        self.todo = {chosen}
        self.done: dict[int, Step] = {}

    def asks_for(self, initials: Iterable[int]) -> bool:
        """See to it that one of `initials` is explored here; return False if none of them can go on here."""
        first = -1
        for task in initials:
            if task in self.todo or task in self.asleep:
                return True
            if first < 0 and task in self.enabled:
                first = task
        if first >= 0:
            self.todo.add(first)
        return first >= 0

    def next(self, step: Step) -> bool:
        """The chosen task's subtree is finished, which began with `step`: move on; return False when all are."""
        self.done[self.chosen] = step
        for place, task in enumerate(self.enabled):
            if task in self.todo and task not in self.done and task not in self.asleep:
                self.chosen, self.place = task, place
                return True
        return False


class Drawn:
    """A value that the program drew below `bound`."""

    __slots__ = ("bound", "value")

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self.value = 0


def independent(one: Step, other: Step) -> bool:
    """Say whether two steps of different tasks can be exchanged."""
    if one.everything or other.everything:
        return False
    return not any(conflict(a, b) for a in one.accesses for b in other.accesses)
