"""The fair suffix: what takes over from the strategy when an execution reaches its step bound.

1. At the bound the strategy is replaced: of the enabled tasks, the one that ran least recently goes next.
2. If the execution ends in that suffix it was merely slow, and is judged like any other.
3. If it does not, no fairness helps: the detectors see its last steps.

Deterministic, so a schedule that runs into it replays like any other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import Detector, name_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import ExecutionView, TaskView
    from verify.runtime.task import Task

RECENT = 512  # steps of the fair suffix that a livelock verdict sees


class Fair:
    """Picks the task that ran least recently."""

    def __init__(self) -> None:
        self.last: dict[int, int] = {}
        self.turn = 0

    def choose(self, enabled: Sequence[Task], me: Task) -> Task:
        """Pick the task that waited longest."""
        self.turn += 1
        last = self.last
        last[me.index] = self.turn
        return min(enabled, key=lambda task: last.get(task.index, 0))


class Recent(Detector):
    """Keeps the last steps of the fair suffix."""

    def __init__(self, steps: list[tuple[str, str, str]]) -> None:
        self.steps = steps

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Append one step, forget old ones."""
        del execution
        steps = self.steps
        steps.append((task.path, op, name_of(target)))
        if len(steps) > RECENT:
            del steps[: RECENT // 2]
