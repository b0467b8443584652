"""A task: one thread of the program under test, as the scheduler sees it.

Promises: `path` is stable from run to run; `op` and `target` are the operation that is pending
while the task is parked, and the one under way while it runs. Strategies and detectors read tasks
and never write them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from verify.runtime.gate import Gate


class Task:
    """One controlled thread.

    `index` counts tasks in creation order (0 is the main task); `yields` counts the times it gave
    way of its own will (sleep, failed try, time-out); `deadline` is the virtual time, in seconds,
    at which its wait ends by itself; `key` tells it from everything else in its execution.
    """

    __slots__ = (
        "body",
        "children",
        "contextual",
        "daemon",
        "deadline",
        "done",
        "excepthook",
        "exception",
        "finished",
        "gate",
        "ident",
        "index",
        "key",
        "kills",
        "made",
        "op",
        "path",
        "resume_frame",
        "runnable",
        "started",
        "switch",
        "target",
        "thread",
        "timer",
        "title",
        "worker",
        "yields",
    )

    def __init__(
        self, index: int, path: str, title: str, body: Callable[[], object], *, daemon: bool
    ) -> None:
        self.index = index
        self.key = -1 - index
        self.path = path
        self.title = title
        self.body = body
        self.daemon = daemon
        self.op = "begin"
        self.target: object = path
        self.runnable = True
        self.started = False
        self.done = False
        self.finished: Gate | None = None
        self.gate: Gate | None = None
        self.deadline: float | None = None
        self.timer: tuple[float, int, Task] | None = None
        self.made = 0
        self.children = 0
        self.yields = 0
        self.kills = 0
        self.ident = 0x5000_0000 + index
        self.exception: BaseException | None = None
        self.excepthook: Callable[[BaseException], object] | None = None
        self.thread: object = None
        self.worker: object = None
        self.switch: Callable[[], object] = _not_placed
        self.resume_frame: Callable[[], FrameType | None] = _no_frame
        self.contextual: dict[object, object] | None = None

    @property
    def name(self) -> str:
        """The creation path: what schedules and tokens call the task."""
        return self.path

    def __repr__(self) -> str:
        return f"<Task {self.path} {self.title!r} {self.op}>"


def _not_placed() -> object:
    raise AssertionError(
        "internal error in stage3: a task was resumed before its backend placed it"
    )


def _no_frame() -> FrameType | None:
    return None
