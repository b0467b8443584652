"""The exploring backend: tasks carried by pooled greenlets, switched by direct hand-off.

Promises: the running task decides and switches itself (no hub); a carrier is re-used from run to
run, since making one costs more than a whole small execution. A task is taken down by raising
`Killed` in it; one that swallows it again and again is abandoned (kept suspended for ever, so that
no finalizer resumes it). Assumes: all tasks of an execution live in one OS thread, the one that
called `run`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import greenlet

from verify.runtime.carriers import Killed, first_context

if TYPE_CHECKING:
    from types import FrameType

    from verify.runtime.execution import Execution
    from verify.runtime.task import Task


class Carrier(greenlet.greenlet):
    """A greenlet that carries one task after another."""

    task: Task | None = None
    execution: Execution | None = None

    def run(self) -> None:
        """Carry tasks for ever; `carry` returns only when the next one has been placed here."""
        while True:
            task, execution = self.task, self.execution
            if task is None or execution is None:
                raise AssertionError(
                    "internal error in stage3: a carrier was resumed without a task"
                )
            execution.carry(task)

    def frame(self) -> FrameType | None:
        """Return the innermost frame of the suspended task."""
        return self.gr_frame


class Pool:
    """Carriers of one OS thread: idle ones for re-use, abandoned ones kept from being resumed."""

    def __init__(self) -> None:
        self.root = greenlet.getcurrent()
        self.idle: list[Carrier] = []
        self.abandoned: list[Carrier] = []

    def place(self, task: Task, execution: Execution) -> None:
        """Give `task` a carrier."""
        carrier = self.idle.pop() if self.idle else Carrier(parent=self.root)
        carrier.task = task
        carrier.execution = execution
        carrier.gr_context = first_context(task)
        task.worker = carrier
        task.switch = carrier.switch
        task.resume_frame = carrier.frame

    def vacate(self, task: Task) -> None:
        """The task ended: its carrier is free as soon as it has switched away."""
        carrier = task.worker
        if isinstance(carrier, Carrier):
            carrier.task = None
            carrier.execution = None
            self.idle.append(carrier)
            task.worker = None

    def kill(self, task: Task) -> None:
        """Take down a task that is suspended; called from the root."""
        carrier = task.worker
        if not isinstance(carrier, Carrier):
            return
        if not task.started:
            self.vacate(task)
            return
        carrier.throw(Killed)
        if not task.done:
            self.abandoned.append(carrier)
            task.worker = None
