"""Never-drained queues: items that were put and that nobody had taken when the execution ended.

Promises: names the queue, how many items lie in it, and who put the last one where. Items that CPython's own thread
pools leave in their queues (the word to stop) do not count. Does not know whether the rest was meant to be worked
on, so the detector is on request.
"""

from __future__ import annotations

import concurrent.futures
from pathlib import Path
from typing import TYPE_CHECKING

from verify.abc import Detector, Finding, name_of, title_of
from verify.sites import place_text

if TYPE_CHECKING:
    from verify.abc import ExecutionView, TaskView

POOLS = str(Path(concurrent.futures.__file__).parent)


class _Queue:
    __slots__ = ("by", "items", "site", "title")

    def __init__(self, title: str) -> None:
        self.title = title
        self.items = 0
        self.site = ""
        self.by = ""


class Undrained(Detector):
    """Counts what is put into each queue and taken out of it."""

    name = "undrained"

    def __init__(self) -> None:
        self.queues: dict[str, _Queue] = {}

    def start(self, execution: ExecutionView) -> None:
        """Forget the last execution."""
        del execution
        self.queues = {}

    def operation(
        self, execution: ExecutionView, task: TaskView, op: str, target: object
    ) -> Finding | None:
        """Count an item."""
        if op in {"Queue.put", "SimpleQueue.put"}:
            if op == "Queue.put" and getattr(target, "full", False):
                return None  # it raises queue.Full
            stack = execution.stack_of(task)
            if not stack or stack[0][0].co_filename.startswith(POOLS):
                return None
            queue = self.queues.setdefault(name_of(target), _Queue(title_of(target)))
            queue.items += 1
            queue.by, queue.site = task.title, place_text(stack[0])
        elif op in {"Queue.get", "SimpleQueue.get"}:
            known = self.queues.get(name_of(target))
            if known is not None and known.items:
                known.items -= 1
        elif op == "Queue.shutdown":
            self.queues.pop(name_of(target), None)
        return None

    def end(self, execution: ExecutionView) -> Finding | None:
        """Tell what is left."""
        del execution
        left = [queue for queue in self.queues.values() if queue.items]
        if not left:
            return None
        told = [
            f"{queue.items} item{'s' if queue.items > 1 else ''} in {queue.title}, "
            f"the last put by {queue.by} at {queue.site}"
            for queue in left
        ]
        return Finding(
            cause="never-drained queue",
            message=f"nobody took {told[0]}",
            key=tuple(sorted({queue.site for queue in left})),
            details=tuple(told[1:]),
        )
