"""Atomicity: a task writes a variable by what it read there, and another wrote it in between.

One of the unserialisable patterns of AVIO (Lu, Tucek, Qin, Zhou, ASPLOS 2006): read, remote write, local write. It
covers check-then-act (`if key not in table: table[key] = ...`) and the lost update (`n += 1`), with or without locks:
a lock that is given back between check and act protects neither. Variables are those of the race detector, and
built-in containers as wholes: an operation of the whole container meets every item.

Proves: in this execution the write rested on a value that was no longer there. Does not prove that this is wrong: two
tasks that both find a flag down and both raise it are found, too. That is why it is on request.
Does not report: a read after which the task waited for others (a condition, an event, a queue, a join), since it
waited for a change; a read which does not decide the write as far as the source text shows
(`verify.detectors.dependence`); other patterns, and those over several variables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import COMPUTED, Detector, Finding
from verify.detectors.dependence import decides
from verify.sites import line_of, place_text

if TYPE_CHECKING:
    from verify.abc import AccessView, ExecutionView, Place, TaskView

    Stack = tuple[Place, ...]

WAITS = frozenset({
    "Condition.wake", "Event.wait", "Queue.get", "Queue.join", "SimpleQueue.get", "Barrier.leave", "Barrier.wait",
    "Semaphore.acquire", "Thread.join",
})  # fmt: skip


class Check:
    """One read that nothing of the same task's followed yet, and who wrote since."""

    __slots__ = ("by", "item", "range", "stack", "where")

    def __init__(self, access: AccessView, stack: Stack) -> None:
        self.item = access.item
        self.range = access.lo, access.hi
        self.stack = stack
        self.by: TaskView | None = None
        self.where: Stack = ()

    def meets(self, access: AccessView) -> bool:
        """Say whether `access` touches what was read."""
        lo, hi = self.range
        if hi and access.hi and not (lo < access.hi and access.lo < hi):
            return False
        return self.item == access.item or not (self.item and access.item)


class Atomicity(Detector):
    """Finds stale writes; `ignore` are pairs (`Worker.stopped`) or declared names that are not judged."""

    name = "atomicity"

    def __init__(self, *, ignore: frozenset[str] = frozenset()) -> None:
        self.ignore = ignore
        self.checks: dict[str, dict[tuple[int, str, int], Check]] = {}

    def start(self, execution: ExecutionView) -> None:
        """Forget the last execution."""
        del execution
        self.checks = {}

    def operation(
        self, execution: ExecutionView, task: TaskView, op: str, target: object
    ) -> Finding | None:
        """Remember a read; compare a write with what was read before it."""
        if op in {"read", "write"}:
            access: AccessView = target  # type: ignore[assignment] # what reads and writes are on
            if access.how == COMPUTED or access.pair in self.ignore:
                return None
            checks = self.checks.setdefault(access.object, {})
            if op == "read":
                stack = execution.stack_of(task)
                checks[task.index, access.item, access.lo] = Check(access, stack)
                return None
            return self._write(execution, task, access, checks)
        if op in WAITS:
            for checks in self.checks.values():
                for key in [key for key in checks if key[0] == task.index]:
                    del checks[key]
        return None

    def _write(
        self,
        execution: ExecutionView,
        task: TaskView,
        access: AccessView,
        checks: dict[tuple[int, str, int], Check],
    ) -> Finding | None:
        stack: Stack = ()
        for key, check in list(checks.items()):
            if not check.meets(access):
                continue
            if not stack:
                stack = execution.stack_of(task)
            if key[0] != task.index:
                if check.by is None:
                    check.by, check.where = task, stack
                continue
            del checks[key]
            places = parting(check.stack, stack)
            if check.by is not None and places is not None and related(*places):
                return _finding(task, access, check, stack, places)
        return None


def parting(read: tuple[Place, ...], write: tuple[Place, ...]) -> tuple[Place, Place] | None:
    """Return where two stacks of one task (innermost first) part inside one function, or None if they do not."""
    for one, other in zip(reversed(read), reversed(write), strict=False):
        if one[0] is not other[0]:
            return None
        if one[1] != other[1]:
            return one, other
    return None


def related(read: Place, write: Place) -> bool:
    """Say whether what is read at the one place decides what is written at the other."""
    return decides(read[0].co_filename, line_of(*read), line_of(*write))


def _finding(
    task: TaskView, access: AccessView, check: Check, stack: Stack, places: tuple[Place, Place]
) -> Finding:
    what = f"{access.pair.removesuffix('[]')}{f'[{access.item}]' if access.item else ''}"
    other = check.by.title if check.by is not None else ""
    read, between, write = (place_text(each[0]) for each in (check.stack, check.where, stack))
    return Finding(
        cause="atomicity violation",
        message=f"{task.title} writes {what} at {write} by what it read at {read}, "
        f"but {other} wrote it in between at {between}",
        key=(access.pair, places[0][0].co_qualname),
        details=tuple(
            f"{title} at {' < '.join(map(place_text, each))}"
            for title, each in (
                (f"{task.title}: read", check.stack),
                (f"{other}: write", check.where),
                (f"{task.title}: write", stack),
            )
        ),
        culprits=(task.path,),
    )
