"""Data race: two tasks touch one variable, one of them writes, and nothing orders the two accesses.

FastTrack (Flanagan and Freund, PLDI 2009) with its epochs: an access is compared with the last write
and with the last read of each task since. Variables are attributes, rebindable globals, closure
variables, items of built-in containers by key, and ranges that the program declares (`verify.access`).
What orders accesses is `verify.detectors.ordering`'s. The accesses seen are those that the granularity makes
operations: `auto` picks the fields that threads share without a common lock, `access` all that they share.

Proves: in this execution neither order was enforced, so the other happens too in some run. Does not
prove that the outcome is wrong: a flag that one thread polls while another sets it is a race by this
definition, and in Python a program may live with it. That is why it is on request.
Does not judge: operations of whole containers (`append`, `pop`, `in`, `len`, iteration), which CPython keeps
atomic; attributes that are properties or belong to classes with a `__setattr__` of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import COMPUTED, VALUE, Detector, Finding
from verify.detectors.ordering import Ordering
from verify.sites import place_text

if TYPE_CHECKING:
    from verify.abc import AccessView, ExecutionView, Place, TaskView

Epoch = tuple[int, int]
NEVER: Epoch = (-1, 0)


class Variable:
    """The last write and the reads since: task and epoch; `range` are the declared elements, (0, 0) for all."""

    __slots__ = ("places", "range", "reads", "write")

    def __init__(self, elements: tuple[int, int]) -> None:
        self.range = elements
        self.write: Epoch = NEVER
        self.reads: dict[int, int] = {}
        self.places: dict[tuple[int, str], tuple[Place, ...]] = {}

    def overlaps(self, elements: tuple[int, int]) -> bool:
        """Say whether a declared range has elements in common with this one."""
        lo, hi = self.range
        return not hi or not elements[1] or (lo < elements[1] and elements[0] < hi)


class Race(Detector):
    """Finds unordered accesses; `ignore` are pairs (`Worker.stopped`) or declared names that may race."""

    name = "race"

    def __init__(self, *, ignore: frozenset[str] = frozenset()) -> None:
        self.ignore = ignore
        self.order = Ordering()
        self.variables: dict[tuple[str, str], dict[tuple[int, int], Variable]] = {}

    def start(self, execution: ExecutionView) -> None:
        """Forget the last execution."""
        del execution
        self.order = Ordering()
        self.variables = {}

    def operation(
        self, execution: ExecutionView, task: TaskView, op: str, target: object
    ) -> Finding | None:
        """Compare an access with earlier ones; follow what orders tasks."""
        if op not in {"read", "write"}:
            self.order.follow(execution, task, op, target)
            return None
        access: AccessView = target  # type: ignore[assignment] # what reads and writes are on
        found = None
        if access.how == VALUE and access.pair not in self.ignore:
            found = self._access(execution, task, op, access)
        if access.how != COMPUTED and (access.item or access.how != VALUE):
            # An operation of a container: atomic, so whoever comes later can rely on it.
            if op == "read":
                self.order.acquire(task, access.object)
            else:
                self.order.exchange(task, access.object)
        return found

    def outcome(
        self, execution: ExecutionView, task: TaskView, op: str, target: object, *, result: bool
    ) -> None:
        """Follow a try that was decided."""
        del execution
        self.order.outcome(task, op, target, result=result)

    def _access(
        self, execution: ExecutionView, task: TaskView, op: str, access: AccessView
    ) -> Finding | None:
        clock = self.order.clock(task)
        me = task.index
        ranges = self.variables.setdefault((access.object, access.item), {})
        elements = access.lo, access.hi
        mine = ranges.get(elements)
        if mine is None:
            mine = ranges[elements] = Variable(elements)
        elif mine.write == (me, clock[me]) or (op == "read" and mine.reads.get(me) == clock[me]):
            return None  # the same epoch: whatever it races with was seen at the first
        for variable in ranges.values():
            if variable is mine or variable.overlaps(elements):
                other = _unordered(variable, me, op, clock)
                if other is not None:
                    return self._finding(execution, task, op, access, other, variable)
        if op == "write":
            mine.write = me, clock[me]
            mine.reads.clear()
        else:
            mine.reads[me] = clock[me]
        if execution.record_sites:
            mine.places[me, op] = execution.stack_of(task)
        return None

    @staticmethod
    def _finding(  # noqa: PLR0917 - one sentence of many parts
        execution: ExecutionView,
        task: TaskView,
        op: str,
        access: AccessView,
        other: tuple[int, str],
        variable: Variable,
    ) -> Finding:
        what = f"{access.pair.removesuffix('[]')}{f'[{access.item}]' if access.item else ''}"
        them = execution.tasks[other[0]]
        before = variable.places.get(other, ())
        where = f" at {place_text(before[0])}" if before else ""
        stacks = (
            (f"{task.title}: {op}", execution.stack_of(task)),
            (f"{them.title}: {other[1]}, earlier", before),
        )
        return Finding(
            cause="data race",
            message=f"nothing orders {task.title}'s {op} of {what} at {execution.site_of(task)} "
            f"and {them.title}'s {other[1]}{where}",
            key=(access.pair,),
            details=tuple(
                f"{title} at {' < '.join(map(place_text, places))}"
                for title, places in stacks
                if places
            ),
            culprits=(task.path, them.path),
        )


def _unordered(
    variable: Variable, me: int, op: str, clock: dict[int, int]
) -> tuple[int, str] | None:
    index, epoch = variable.write
    if index != me and epoch > clock.get(index, 0):
        return index, "write"
    if op == "write":
        for index, epoch in variable.reads.items():
            if index != me and epoch > clock.get(index, 0):
                return index, "read"
    return None
