"""Which pending operations matter to each other: what POS, SURW and whoever samples orders build on.

Promises: two operations are said not to race only if they are on different objects, or both only
read, or are on parts of one object that do not overlap. Starting a task, and moving a clock, race
with nothing. Everything not known to be a read counts as a write.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import name_of

if TYPE_CHECKING:
    from verify.abc import TaskView

READS = frozenset(
    {
        "read", "Lock.locked", "Event.is_set", "Queue.qsize", "Queue.empty", "Queue.full", "Thread.is_alive",
        "Thread.join",
    }
)  # fmt: skip
APART = frozenset({"begin", "yield", "sleep", "poll", "Thread.start", "finished"})
"""Operations on nothing that another task could change."""

Pending = tuple[str, object]


def pending(task: TaskView) -> Pending:
    """Return a task's pending operation and what it is on."""
    return task.op, task.target


def races(one: Pending, other: Pending) -> bool:
    """Say whether the order of two pending operations of different tasks can matter."""
    op, target = one
    other_op, other_target = other
    if op in APART or other_op in APART or (op in READS and other_op in READS):
        return False
    if target is other_target:
        return True
    key, other_key = key_of(target), key_of(other_target)
    return key == other_key and overlap(target, other_target)


def key_of(target: object) -> str:
    """Return the name of the whole object that an operation is on, the same in every run."""
    whole = getattr(target, "object", None)  # a declared access names its object and a range
    return whole if isinstance(whole, str) else name_of(target)


def role_of(target: object) -> str:
    """Return the name of an object without the task that named it.

    An object known by its accesses is named by whoever comes to it first, which differs from schedule to schedule; what
    is learned in one execution and used in the next goes by this name.
    """
    whole = getattr(target, "object", None)
    if not isinstance(whole, str):
        return name_of(target)
    path, _, rest = whole.partition(":")
    return rest if rest and (path == "main" or path.startswith("main/")) else whole


def overlap(target: object, other: object) -> bool:
    """Say whether two targets of one name have elements in common; without a range a target is the whole."""
    first, second = _range(target), _range(other)
    if first is None or second is None:
        return True
    return first[0] < second[1] and second[0] < first[1]


def _range(target: object) -> tuple[int, int] | None:
    lo, hi = getattr(target, "lo", None), getattr(target, "hi", None)
    return (lo, hi) if isinstance(lo, int) and isinstance(hi, int) and hi else None
