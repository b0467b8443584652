"""Anchors of a run under way: a listener beside the recorder.

Promises: what is taken down is what the run did, place by place. Costs nothing but in the run that a report is made of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traces.anchors import MOST_KEPT, VERSION, Anchors, Place, Track
from verify.durable.places import Describer, Seen, role_of_task, seen, shown_at

if TYPE_CHECKING:
    from verify.abc import ExecutionView, Finding, TaskView
    from verify.runtime.execution import Execution


class Anchoring:
    """Collects anchors; `step` and `snapshot` are called by the recorder."""

    def __init__(self) -> None:
        self.seen: dict[Seen, int] = {}
        self.tracks: dict[int, int] = {}
        self.known: list[Track] = []
        self.steps: list[tuple[int, int]] = []
        self.ends: tuple[tuple[int, int], ...] = ()

    def step(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Take one operation down."""
        if len(self.steps) < MOST_KEPT:
            self.steps.append(self._pair(execution, task, op, target))

    def snapshot(self, execution: Execution) -> None:
        """Take down what the tasks stand before."""
        if len(self.steps) < MOST_KEPT:
            self.ends = tuple(
                self._pair(execution, task, task.op, task.target)
                for task in execution.tasks
                if not task.done
            )

    def _pair(
        self, execution: ExecutionView, task: TaskView, op: str, target: object
    ) -> tuple[int, int]:
        what = seen(execution, task, op, target)
        return self._track(execution, task), self.seen.setdefault(what, len(self.seen))

    def _track(self, execution: ExecutionView, task: TaskView) -> int:
        """Return the thread's number; with it come all that were made before it, so that ranks follow creation."""
        while task.index not in self.tracks:
            new = execution.tasks[len(self.tracks)]
            role = role_of_task(new)
            rank = sum(track.role == role for track in self.known)
            self.tracks[new.index] = len(self.known)
            self.known.append(Track(new.path, role, rank))
        return self.tracks[task.index]

    def anchors(self, finding: Finding | None) -> Anchors:
        """Return what was taken down, and where `finding` shows; called after the run, for it reads source files."""
        describer = Describer()
        places: dict[Place, int] = {}
        number = [places.setdefault(describer.named(what), len(places)) for what in self.seen]
        return Anchors(
            VERSION,
            tuple(places),
            tuple(self.known),
            tuple((track, number[place]) for track, place in self.steps),
            tuple((track, number[place]) for track, place in self.ends),
            shown_at(finding.key) if finding is not None else (),
        )
