"""User invariants: checked at every step, or at the end.

An invariant is a function that raises `InvariantError` (or returns a sentence that says what is
wrong). It runs between two operations, never in the middle of one, and must only read.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import Detector, Finding, InvariantError

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.abc import ExecutionView, TaskView

    Invariant = Callable[[], str | None]


class Invariants(Detector):
    """Checks what the program under test registers with `verify.invariant`."""

    name = "invariants"
    lazy = True

    def __init__(self) -> None:
        self.each_step: list[tuple[str, Invariant]] = []
        self.at_end: list[tuple[str, Invariant]] = []

    def start(self, execution: ExecutionView) -> None:
        """Forget the last execution's invariants."""
        del execution
        self.each_step.clear()
        self.at_end.clear()

    def operation(
        self, execution: ExecutionView, task: TaskView, op: str, target: object
    ) -> Finding | None:
        """Check the invariants that hold at every step."""
        del execution, op, target
        for name, check in self.each_step:
            broken = judge(check)
            if broken is not None:
                return self._finding(name, broken, task)
        return None

    def end(self, execution: ExecutionView) -> Finding | None:
        """Check the invariants that hold at the end."""
        for name, check in self.at_end:
            broken = judge(check)
            if broken is not None:
                return self._finding(name, broken, execution.tasks[0])
        return None

    @staticmethod
    def _finding(name: str, broken: str, task: TaskView) -> Finding:
        return Finding(
            cause="broken invariant",
            message=f"{name}: {broken}",
            key=(name,),
            culprits=(task.path,),
        )


def judge(check: Invariant) -> str | None:
    """Return what is wrong, or None."""
    try:
        return check()
    except InvariantError as error:
        return str(error)
