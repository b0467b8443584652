"""Where events happen in one run: their steps, their source lines and stacks.

Promises: what is taken down is what the run did. `snapshot` is for the session's `on_stop`: all tasks still stand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from traces import explanation as traced
from verify.abc import Detector, name_of
from verify.explain.events import Counter
from verify.record import stack_of
from verify.runtime.execution import Execution

if TYPE_CHECKING:
    from collections.abc import Collection

    from traces.frames import Frame
    from verify.abc import ExecutionView, TaskView
    from verify.explain.events import Event


class Places(Detector):
    """Takes down the events in `wanted`."""

    name = "places"

    def __init__(self, wanted: Collection[Event]) -> None:
        self.wanted = frozenset(wanted)
        self.counter = Counter()
        self.steps = 0
        self.found: dict[Event, traced.Event] = {}

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Take the step down if it is one that is wanted."""
        del op, target
        event = self.counter.happened(task)
        if event in self.wanted:
            self._take(execution, task, event, self.steps)
        self.steps += 1

    def snapshot(self, execution: Execution) -> None:
        """Take down what the tasks stand before at the end."""
        for task in execution.tasks:
            event = None if task.done else self.counter.pending(task)
            if event in self.wanted:
                self._take(execution, task, event, None)

    def place(self, event: Event) -> traced.Event:
        """Return an event as the trace keeps it; without place where the run did not get that far."""
        return self.found.get(event) or traced.Event(
            event.task, event.op, event.role, event.nth, None, "", ()
        )

    def _take(
        self, execution: ExecutionView, task: TaskView, event: Event | None, step: int | None
    ) -> None:
        assert event is not None
        stack: tuple[Frame, ...] = ()
        if isinstance(execution, Execution):
            stack = stack_of(execution, execution.tasks[task.index])
        self.found[event] = traced.Event(
            event.task,
            event.op,
            name_of(task.target),
            event.nth,
            step,
            execution.site_of(task),
            stack,
        )
