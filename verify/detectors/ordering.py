"""Happens-before: what orders one task's actions before another's, by vector clocks over all operations.

Promises: an edge for everything by which one task can know that another has come so far: locks,
semaphores, conditions, barriers, events, queues (what was put, room made in a bounded one, work
done), starting and joining threads, and with them thread pools and futures, which are made of these;
sockets, pipes and signals as one channel each. Looking at the state of a synchronisation object, and a
try that fails, count too: a program may rely on what it saw. So does an operation of a built-in
container, which CPython keeps atomic: an object handed over by `deque.append` is handed over.
Does not count: sleeping, time-outs that pass, plain attributes and variables used as flags.

Clocks after Mattern, "Virtual time and global states of distributed systems", 1989. An edge too many
hides a race in one schedule; an edge too few would be a false alarm: in doubt there is an edge.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from verify.abc import name_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from verify.abc import ExecutionView, TaskView

Clock = dict[int, int]
K = TypeVar("K", int, str)

ACQUIRES = ("Lock.acquire", "RLock.acquire", "Semaphore.acquire", "SimpleQueue.get")
RELEASES = (
    "Lock.release", "RLock.release", "Semaphore.release", "SimpleQueue.put", "Event.set", "Event.clear",
    "Queue.shutdown",
)  # fmt: skip
OBSERVES = (
    "Lock.locked", "Event.wait", "Event.is_set", "Barrier.leave", "Barrier.n_waiting", "Barrier.broken",
    "Queue.qsize", "Queue.empty", "Queue.full",
)  # fmt: skip
TRIES = frozenset({"Lock.try_acquire", "RLock.try_acquire", "Semaphore.try_acquire"})
"""Judged when it is known how they ended."""
NOTHING = (
    "sleep", "yield", "poll", "begin", "read", "write", "RLock.reacquire", "Condition.timeout", "Condition.notify",
    "Condition.notify_all",
)  # fmt: skip


class Ordering:
    """The clocks of one execution; `follow` and `outcome` are to be told of every operation."""

    def __init__(self) -> None:
        self.clocks: dict[int, Clock] = {}
        self.given: dict[str, Clock] = {}
        self.seen: dict[str, Clock] = {}
        self.waits: dict[int, tuple[str, ...]] = {}

    def clock(self, task: TaskView) -> Clock:
        """Return up to which epoch of each task everything is ordered before what `task` does now."""
        clock = self.clocks.get(task.index)
        if clock is None:
            clock = self.clocks[task.index] = {}
        if task.index not in clock:
            clock[task.index] = 1
        return clock

    def acquire(self, task: TaskView, channel: str) -> None:
        """What was given to the channel is ordered before what `task` does from now on."""
        given = self.given.get(channel)
        if given:
            join(self.clock(task), given)

    def release(self, task: TaskView, channel: str) -> None:
        """What `task` did until now is given to the channel."""
        clock = self.clock(task)
        join(self.given.setdefault(channel, {}), clock)
        clock[task.index] += 1

    def show(self, task: TaskView, channel: str) -> None:
        """Whoever looks at the object can see that `task` has come so far."""
        clock = self.clock(task)
        join(self.seen.setdefault(channel, {}), clock)
        clock[task.index] += 1

    def observe(self, task: TaskView, channel: str) -> None:
        """Whatever anybody did to the object is ordered before what `task` does from now on."""
        self.acquire(task, channel)
        seen = self.seen.get(channel)
        if seen:
            join(self.clock(task), seen)

    def exchange(self, task: TaskView, channel: str) -> None:
        """Order the operation after all earlier ones on the channel, and later ones after it."""
        self.acquire(task, channel)
        self.release(task, channel)

    def follow(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Take in one operation at the moment it takes effect."""
        if task.index == 0 and SIGNALS in self.given:
            self.acquire(task, SIGNALS)
        rule = RULES.get(op, _exchanged)
        if rule is not None:
            rule(self, execution, task, target)

    def outcome(self, task: TaskView, op: str, target: object, *, result: bool) -> None:
        """Take in how a try ended."""
        if op in TRIES:
            name = name_of(target)
            if result:
                self.acquire(task, name)
                self.show(task, name)
            else:
                self.observe(task, name)


def join(clock: dict[K, int], other: Mapping[K, int]) -> None:
    """Let `clock` know all that `other` knows; tasks are told by number, or by path."""
    for index, epoch in other.items():
        if epoch > clock.get(index, 0):
            clock[index] = epoch


SIGNALS, NETWORK = "signals", "network"
CHANNELS = ("socket.", "Selector.", "select.", "poll.", "epoll.")


def _exchanged(order: Ordering, execution: ExecutionView, task: TaskView, target: object) -> None:
    """Do what is always safe; what is sent over the network may come back to anybody."""
    del execution
    order.exchange(task, NETWORK if task.op.startswith(CHANNELS) else name_of(target))


def _acquired(order: Ordering, execution: ExecutionView, task: TaskView, target: object) -> None:
    del execution
    name = name_of(target)
    order.acquire(task, name)
    order.show(task, name)


def _released(order: Ordering, execution: ExecutionView, task: TaskView, target: object) -> None:
    del execution
    order.release(task, name_of(target))


def _observed(order: Ordering, execution: ExecutionView, task: TaskView, target: object) -> None:
    del execution
    order.observe(task, name_of(target))


def _started(order: Ordering, execution: ExecutionView, task: TaskView, target: object) -> None:
    # The new task is the next to be made: nothing runs between this and its making.
    del target
    clock = order.clock(task)
    child = order.clocks[len(execution.tasks)] = dict(clock)
    child[len(execution.tasks)] = 1
    clock[task.index] += 1


def _joined(order: Ordering, execution: ExecutionView, task: TaskView, target: object) -> None:
    del execution
    if getattr(target, "done", False):
        join(order.clock(task), order.clocks.get(getattr(target, "index", -1), {}))


def _sleeps(order: Ordering, execution: ExecutionView, task: TaskView, target: object) -> None:
    # The condition's lock is one of those held; the others stay held, so giving to them changes nothing.
    del target
    names = order.waits[task.index] = tuple(lock.name for lock in execution.held_by(task))
    for name in names:
        order.release(task, name)


def _wakes(order: Ordering, execution: ExecutionView, task: TaskView, target: object) -> None:
    del execution, target
    for name in order.waits.pop(task.index, ()):
        order.acquire(task, name)


def _put(order: Ordering, execution: ExecutionView, task: TaskView, target: object) -> None:
    del execution
    name = name_of(target)
    if getattr(target, "bounded", False):
        order.acquire(task, f"{name} room")
    order.release(task, name)


def _got(order: Ordering, execution: ExecutionView, task: TaskView, target: object) -> None:
    del execution
    name = name_of(target)
    order.acquire(task, name)
    if getattr(target, "bounded", False):
        order.release(task, f"{name} room")
    order.show(task, name)


def _worked(order: Ordering, execution: ExecutionView, task: TaskView, target: object) -> None:
    del execution
    order.release(task, f"{name_of(target)} done")


def _all_worked(order: Ordering, execution: ExecutionView, task: TaskView, target: object) -> None:
    del execution
    order.acquire(task, f"{name_of(target)} done")
    order.observe(task, name_of(target))


def _signalled(order: Ordering, execution: ExecutionView, task: TaskView, target: object) -> None:
    del execution, target
    order.release(task, SIGNALS)


RULES: dict[str, Callable[[Ordering, ExecutionView, TaskView, object], None] | None] = {
    **dict.fromkeys(ACQUIRES, _acquired),
    **dict.fromkeys(RELEASES, _released),
    **dict.fromkeys(OBSERVES, _observed),
    **dict.fromkeys((*NOTHING, *TRIES)),
    "Thread.start": _started,
    "Thread.join": _joined,
    "Thread.is_alive": _joined,
    "Condition.wait": _sleeps,
    "Condition.wake": _wakes,
    "Queue.put": _put,
    "Queue.get": _got,
    "Queue.task_done": _worked,
    "Queue.join": _all_worked,
    "signal.send": _signalled,
}
