"""A listener that sees which of two conflicting operations came first, by class of object, operation and source line.

Promises: a pair (a, b) is kept when b follows a on the same object, by another task, with nothing in
conflict with either between them; and when b, by which others may go on (a set event, a put, a
notification), takes effect while a waits there already. So for each blocking operation there are two orders: it
came first and waited, or it came second. Nothing of the program's is kept alive or called, so that
an execution goes the same way with the listener and without. Operations that only give back what
the same thread took (release of a lock), and those that start or end a thread, are in no pair: nothing
could bring them into the other order.
Assumes that declared ranges of one object are either the same or do not overlap.

Whether any schedule brings a pair into the other order is not known here: the program itself may keep it.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from verify.abc import Detector, name_of
from verify.coverage.form import MOST_PAIRS, Coverage, Place, Seen
from verify.sites import describe, is_framework
from verify.strategies.dependence import APART, READS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, FrameType

    from verify.abc import ExecutionView, TaskView

LEFT_OUT: Final = APART | {
    "Lock.release", "RLock.release", "RLock.reacquire", "Condition.wake", "Condition.timeout", "Barrier.leave",
    "Thread.join", "Thread.is_alive", "signal.send",
}  # fmt: skip
GIVING: Final = frozenset(
    {
        "Event.set",
        "Semaphore.release",
        "Queue.put",
        "SimpleQueue.put",
        "Condition.notify",
        "Condition.notify_all",
    }
)
SHIFT: Final = 32
NO_SITE: Final = ""


class Last:
    """What was done last to one object: `write` as (task, place) or None, and the reads since, by task."""

    __slots__ = ("reads", "write")

    def __init__(self) -> None:
        self.write: tuple[int, int] | None = None
        self.reads: dict[int, int] = {}


class Sites:
    """Source lines by code position, looked up once each."""

    def __init__(self) -> None:
        self.framework: dict[int, bool] = {}
        self.known: dict[tuple[int, int], str] = {}
        self.kept: list[CodeType] = []  # so that no other code gets the id of one that is known

    def of(self, frame: FrameType | None) -> str:
        """Return `file:line function` of the innermost frame of the program."""
        framework = self.framework
        while frame is not None:
            code = frame.f_code
            ours = framework.get(id(code))
            if ours is None:
                ours = framework[id(code)] = is_framework(code.co_filename)
                self.kept.append(code)
            if not ours:
                key = id(code), frame.f_lasti
                site = self.known.get(key)
                if site is None:
                    site = self.known[key] = describe(frame)
                return site
            frame = frame.f_back
        return NO_SITE


class Pairs(Detector):
    """Collects pairs over many executions; `seen` holds each as (number of a) << 32 | (number of b)."""

    name = "pairs"

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.places: list[Place] = []
        self.numbers: dict[tuple[str, str, str], int] = {}
        self.sites = Sites()
        self.last: dict[object, Last] = {}
        self.executions = 0

    def start(self, execution: ExecutionView) -> None:
        """Forget the last execution's objects."""
        del execution
        self.last = {}
        self.executions += 1

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Pair one operation with those before it on the same object."""
        if op in LEFT_OUT or target.__class__ is str:
            return
        key, kind = _object(target)
        last = self.last.get(key)
        if last is None:
            last = self.last[key] = Last()
        me = task.index
        number = self._number(kind, op, self.sites.of(sys._getframe(1)))  # noqa: SLF001 - the documented way
        write = last.write
        if op in READS:
            if write is not None and write[0] != me:
                self._add(write[1], number)
            last.reads[me] = number
            return
        if last.reads:
            for index, place in last.reads.items():
                if index != me:
                    self._add(place, number)
            last.reads = {}
        elif write is not None and write[0] != me:
            self._add(write[1], number)
        last.write = me, number
        if op in GIVING:
            self._waiting(execution, target, kind, number)

    def _waiting(self, execution: ExecutionView, target: object, kind: str, number: int) -> None:
        """Pair the operations that wait for what is given now."""
        for task in execution.tasks:
            if not task.runnable and task.target is target and not task.done:
                frame = getattr(task, "resume_frame", _none)()
                self._add(self._number(kind, task.op, self.sites.of(frame)), number)

    def _number(self, kind: str, op: str, site: str) -> int:
        key = kind, op, site
        number = self.numbers.get(key)
        if number is None:
            number = self.numbers[key] = len(self.places)
            self.places.append(Place(*key))
        return number

    def _add(self, first: int, second: int) -> None:
        pair = first << SHIFT | second
        if pair not in self.seen and len(self.seen) < MOST_PAIRS:
            self.seen.add(pair)

    def coverage(self, target: str, digest: str) -> Coverage:
        """Return what was seen as a plain value, for the program named."""
        low = (1 << SHIFT) - 1
        places: Sequence[Place] = self.places
        pairs = frozenset((places[pair >> SHIFT], places[pair & low]) for pair in self.seen)
        return Coverage({target: Seen(digest, self.executions)}, pairs)


def _object(target: object) -> tuple[object, str]:
    """Return what tells an object from others in one execution, and its class."""
    creator = getattr(target, "creator", None)
    if creator is not None:
        serial: object = getattr(target, "serial", 0)
        return (creator, serial), str(getattr(target, "KIND", ""))
    whole = getattr(target, "object", None)
    if isinstance(whole, str):
        return (whole, getattr(target, "lo", 0), getattr(target, "hi", 0)), _class_of(whole)
    name = name_of(target)
    return name, _class_of(name)


def _class_of(name: str) -> str:
    """Return `Account.balance` for `main/1:Account#1.balance`, and a name of the program's own as it is."""
    _, colon, made = name.rpartition(":")
    kind, mark, rest = made.partition("#")
    if not (colon and mark):
        return name
    return kind + rest.lstrip("0123456789")


def _none() -> None:
    return None
