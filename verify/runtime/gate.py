"""Gates: the one thing a task can wait for.

Promises: a gate is open or closed; `waiting` holds the tasks whose pending operation needs it open,
whether they can run now or not. Opening makes exactly these enabled, closing makes them wait again,
so the list of enabled tasks is kept up to date at the moments when something changes and never has
to be searched. Every blocking operation of every model (lock, condition, event, semaphore, queue,
socket, join) is a gate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from verify.runtime.execution import Execution
    from verify.runtime.task import Task


class Gate:
    """A condition that tasks wait for.

    `owner` is the task that alone is expected to open it (a lock's holder, a thread to be joined),
    None where anyone may; `firm` says that nobody else can, so a cycle through it is a deadlock
    even while other tasks run. `watchers` are gates computed from this one (a selector's).
    """

    __slots__ = ("execution", "firm", "open", "owner", "subject", "waiting", "watchers")

    def __init__(self, execution: Execution, subject: object, *, is_open: bool) -> None:
        self.execution = execution
        self.subject = subject
        self.open = is_open
        self.owner: Task | None = None
        self.firm = False
        self.waiting: list[Task] = []
        self.watchers: list[AnyGate] | None = None

    def set_open(self) -> None:
        """Open: every waiting task can run."""
        if self.open:
            return
        self.open = True
        if self.waiting:
            enable = self.execution.enable
            for task in self.waiting:
                enable(task)
        if self.watchers:
            for watcher in self.watchers:
                watcher.refresh()

    def set_closed(self) -> None:
        """Close: every waiting task has to wait."""
        if not self.open:
            return
        self.open = False
        if self.waiting:
            disable = self.execution.disable
            for task in self.waiting:
                disable(task)
        if self.watchers:
            for watcher in self.watchers:
                watcher.refresh()


class AnyGate(Gate):
    """Open while at least one of the gates it watches is open (a selector over sockets)."""

    __slots__ = ("sources",)

    def __init__(self, execution: Execution, subject: object) -> None:
        super().__init__(execution, subject, is_open=False)
        self.sources: list[Gate] = []

    def watch(self, source: Gate) -> None:
        """Add a gate to the watched ones."""
        self.sources.append(source)
        if source.watchers is None:
            source.watchers = []
        source.watchers.append(self)
        self.refresh()

    def unwatch(self, source: Gate) -> None:
        """Remove a gate from the watched ones."""
        self.sources.remove(source)
        if source.watchers is not None:
            source.watchers.remove(self)
        self.refresh()

    def refresh(self) -> None:
        """Recompute from the watched gates."""
        if any(source.open for source in self.sources):
            self.set_open()
        else:
            self.set_closed()
