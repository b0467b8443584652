"""Replay: the schedule itself as a strategy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import ScheduleMismatchError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import T


class Replay:
    """Make the recorded choices, in order. `strict` refuses what does not fit; otherwise the nearest choice is taken.

    Past the end of the schedule a strict replay stops; a lenient one goes on with the current task.
    """

    name = "replay"

    def __init__(self, choices: Sequence[int], *, strict: bool = True) -> None:
        self.choices = choices
        self.strict = strict
        self.at = 0
        self.fresh = True

    def new_execution(self) -> bool:
        """Allow one execution."""
        self.at = 0
        fresh, self.fresh = self.fresh, False
        return fresh

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Take the next recorded choice."""
        choice = self._next()
        if choice == 0:
            if current in enabled and current.runnable:
                return current
            if self.strict:
                raise ScheduleMismatchError(
                    f"choice {self.at} goes on with {current.path}, which cannot go on here"
                )
            return enabled[0]
        others = [task for task in enabled if task is not current or not current.runnable]
        if choice <= len(others):
            return others[choice - 1]
        if self.strict:
            raise ScheduleMismatchError(
                f"choice {self.at} is the {choice}th other enabled task, but only {len(others)} are enabled"
            )
        return others[-1]

    def draw(self, bound: int) -> int:
        """Take the next recorded value."""
        value = self._next()
        if value < bound:
            return value
        if self.strict:
            raise ScheduleMismatchError(
                f"value {self.at} is {value}, but the program asks for one below {bound}"
            )
        return value % bound

    def _next(self) -> int:
        if self.at >= len(self.choices):
            if self.strict:
                raise ScheduleMismatchError(
                    f"the program asks for choice {self.at + 1}, but the schedule has {len(self.choices)}"
                )
            return 0
        self.at += 1
        return self.choices[self.at - 1]
