"""Blocking under a lock: an operation that may wait for long, done while a lock is held that others need.

Not a fault by itself, so it is noted and the execution goes on: it is a blackout for everyone who
wants the lock, and a hang when what the operation waits for can only come from one of them. Which
locks matter is the program's to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import Detector, Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import ExecutionView, TaskView

BLOCKING = frozenset({
    "socket.send", "socket.recv", "socket.accept", "Selector.select", "Queue.get", "Queue.put", "SimpleQueue.get",
    "Queue.join", "Thread.join", "Event.wait", "sleep",
})  # fmt: skip


class BlockingUnderLock(Detector):
    """Notes blocking operations done while one of `titles` is held."""

    name = "blocking under a lock"

    def __init__(self, titles: Sequence[str]) -> None:
        self.titles = frozenset(titles)

    def operation(
        self, execution: ExecutionView, task: TaskView, op: str, target: object
    ) -> Finding | None:
        """Look at the locks held at an operation that may block."""
        del target
        if op not in BLOCKING:
            return None
        held = [lock.title for lock in execution.held_by(task) if lock.title in self.titles]
        if not held:
            return None
        site = execution.site_of(task)
        return Finding(
            cause="blocking under a lock",
            message=f"{task.title} does {op} at {site} while holding {', '.join(held)}",
            key=(op, *held, site),
            culprits=(task.path,),
            fatal=False,
        )
