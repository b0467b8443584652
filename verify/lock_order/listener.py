"""The source of lock orders under control: a detector that finds nothing and keeps a trail of each task.

Promises: sees an acquisition when it takes effect, and one that waits for ever when the execution ends with it. An
acquisition that may fail counts as held once it is known how it ended. Runs record where locks are made
(`record_sites`), or their classes have no names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from traces.lock_order import Mode
from verify.abc import Detector
from verify.lock_order.classes import DECLARED, class_of, unnumbered
from verify.lock_order.judge import judge
from verify.lock_order.keys import order_of
from verify.lock_order.trails import Run, Trail

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from traces.lock_order import Graph, LockClass
    from verify.abc import ExecutionView, LockView, TaskView

    Key = Hashable
    Step = Callable[[ExecutionView, TaskView, str, object], None]

__all__ = ["ACQUIRES", "LockOrderGraph", "lock_in"]

ACQUIRES: Final = frozenset({"Lock.acquire", "RLock.acquire", "declared.acquire", "declared.share"})
"""Operations before which a task can stand with other locks held."""
TRIES: Final = frozenset({"Lock.try_acquire", "RLock.try_acquire"})
MAY_FAIL: Final = TRIES | {"Lock.acquire", "RLock.acquire"}


def lock_in(op: str, target: object) -> LockView | None:
    """Return the lock that an operation about to happen takes, and may wait for; None if it takes none."""
    if op in ACQUIRES:
        return cast("LockView", target)
    if op in {"Condition.wait", "Condition.timeout"}:
        return cast("LockView | None", getattr(target, "lock", None))
    return None


class LockOrderGraph(Detector):
    """Keeps trails; `finish` judges them. Use again for the next execution."""

    name = "lock order graph"

    def __init__(self) -> None:
        acquire, release = self._acquire, self._release
        self.steps: dict[str, Step] = {
            **dict.fromkeys((*ACQUIRES, *TRIES, "RLock.reacquire"), acquire),
            "declared.share": self._share,
            **dict.fromkeys(("Lock.release", "RLock.release", "declared.release"), release),
            "Condition.wait": self._wait,
            "Condition.wake": self._wake,
            **dict.fromkeys(("Condition.notify", "Condition.notify_all"), self._notify),
            "Thread.start": self._start,
            "Thread.join": self._join,
        }
        self._clear()

    def _clear(self) -> None:
        self.run = Run()
        self.trails: dict[int, Trail] = {}
        self.tasks: dict[str, int] = {}
        self.begun: dict[int, list[dict[int, int]]] = {}
        self.pending: dict[int, tuple[object, Mode, str]] = {}
        self.parked: dict[int, int] = {}
        self.locks: dict[Key, LockView] = {}
        self.conditions: dict[Key, str] = {}

    def start(self, execution: ExecutionView) -> None:
        """Forget the last execution."""
        del execution
        self._clear()

    def finish(self, source: str = "") -> Graph:
        """Return the graph of the execution that ended, of the program `source`."""
        for index in list(self.pending):
            self._settle(index)
        return judge(self.run, self, source)

    # --- what the judge asks

    def lock(self, key: Key) -> LockClass:
        """Return the class of a lock of this execution."""
        lock = self.locks[key]
        kind = lock.name.partition(":")[2].partition("#")[0]
        name = "" if lock.title == lock.name else lock.title
        return class_of(name, kind, "" if kind == DECLARED else lock.site)

    def condition(self, key: Key) -> str:
        """Return what a condition is called."""
        return self.conditions[key]

    def site(self, site: object) -> str:
        """Return the place."""
        return str(site)

    # --- events

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Take in one operation."""
        step = self.steps.get(op)
        if step is not None:
            self._settle(task.index)
            step(execution, task, op, target)

    def outcome(
        self, execution: ExecutionView, task: TaskView, op: str, target: object, *, result: bool
    ) -> None:
        """An acquisition or a wait that may fail ended."""
        del execution
        if op == "Condition.wake":
            self._forget_wait(task, target)
            return
        pending = self.pending.pop(task.index, None) if op in MAY_FAIL else None
        if pending is None:
            return
        lock, _, site = pending
        mode = Mode.TRIES if op in TRIES else Mode.GIVES_UP
        self._wants(self.trails[task.index], lock, mode, site)
        if result:
            self._takes(self.trails[task.index], lock, site)

    def stuck(self, execution: ExecutionView) -> None:
        """Take in what those who wait for ever wanted."""
        for task in execution.tasks:
            if task.index in self.pending:
                self._settle(task.index)
            if task.op in ACQUIRES and execution.waits_for(task) is not None:
                trail = self.trail(task)
                self._wants(trail, task.target, Mode.WAITS, execution.site_of(task))

    def trail(self, task: TaskView) -> Trail:
        """Return a task's trail, begun with the clock of the start that made it."""
        known = self.trails.get(task.index)
        if known is not None:
            return known
        parent, _, number = task.path.rpartition("/")
        clocks = self.begun.get(self.tasks.get(parent, -1), [])
        at = int(number) - 1 if number.isdecimal() else 0
        clock = clocks[at] if 0 <= at < len(clocks) else {}
        trail = Trail(self.run, task.index, task.title, clock, main=task.index == 0)
        self.trails[task.index] = trail
        self.tasks[task.path] = task.index
        return trail

    def held(self, task: TaskView) -> list[Key]:
        """Return the keys of the locks that a task holds, those included that it has just taken."""
        self._settle(task.index)
        trail = self.trails.get(task.index)
        return [] if trail is None else [hold[0] for hold in trail.held]

    # --- one method for each kind of operation

    def _acquire(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        self.trail(task)
        mode = Mode.AGAIN if op == "RLock.reacquire" else Mode.WAITS
        self.pending[task.index] = (target, mode, execution.site_of(task))

    def _share(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        del op
        trail, site = self.trail(task), execution.site_of(task)
        self._wants(trail, target, Mode.WAITS, site, shared=True)
        self._takes(trail, target, site, shared=True)

    def _release(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        del op
        key = self._key(target)
        if self.trail(task).gives(key):
            return
        for other in execution.tasks:
            self._settle(other.index)
            trail = self.trails.get(other.index)
            if trail is not None and trail.gives(key):
                self.run.handed.add(key)
                return

    def _wait(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        del op
        trail, lock = self.trail(task), getattr(target, "lock", None)
        own = self._key(lock)
        trail.waits_for(self._condition(target), own, execution.site_of(task))
        depth = 0
        while trail.gives(own):
            depth += 1
        self.parked[task.index] = depth

    def _wake(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        del op
        trail, lock = self.trail(task), getattr(target, "lock", None)
        site = execution.site_of(task)
        self._wants(trail, lock, Mode.WAITS, site)
        for _ in range(self.parked.pop(task.index, 1)):
            self._takes(trail, lock, site)

    def _notify(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        del execution, op
        own = self._key(getattr(target, "lock", None))
        self.trail(task).notifies(self._condition(target), own)

    def _start(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        del execution, op, target
        self.begun.setdefault(task.index, []).append(self.trail(task).starts())

    def _join(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        del execution, op
        other = cast("TaskView", target)
        if getattr(target, "done", False):
            self._settle(other.index)
            self.trail(task).joined(self.trail(other).clock)

    # --- keys and trails

    def _key(self, lock: object) -> Key:
        view = cast("LockView", lock)
        key = getattr(lock, "name", "")
        self.locks.setdefault(key, view)
        return key

    def _condition(self, state: object) -> Key:
        key = str(getattr(state, "name", ""))
        title = str(getattr(state, "title", ""))
        site = str(getattr(state, "site", ""))
        self.conditions[key] = (
            unnumbered(title) if title != key else f"the condition made at {site}"
        )
        return key

    def _settle(self, index: int) -> None:
        """An acquisition that was under way has not failed: it waited without a limit, and the lock is held."""
        pending = self.pending.pop(index, None)
        if pending is not None:
            lock, mode, site = pending
            self._wants(self.trails[index], lock, mode, site)
            self._takes(self.trails[index], lock, site)

    def _wants(
        self, trail: Trail, lock: object, mode: Mode, site: str, *, shared: bool = False
    ) -> None:
        trail.wants(self._key(lock), mode, site, shared=shared, order=order_of(lock))

    def _takes(self, trail: Trail, lock: object, site: str, *, shared: bool = False) -> None:
        trail.takes(self._key(lock), site, shared=shared, order=order_of(lock))

    def _forget_wait(self, task: TaskView, target: object) -> None:
        waits, name = self.trail(task).waits, str(getattr(target, "name", ""))
        for key in [key for key, waiting in waits.items() if waiting.condition == name]:
            del waits[key]
