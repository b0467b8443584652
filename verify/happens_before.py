"""Which executions are the same but for the order of independent steps: Mazurkiewicz's classes.

Promises: two executions of a program have the same fingerprint if and, but for a collision of 63-bit hashes, only if
one can be made of the other by exchanging neighbouring independent steps (`verify.dependence`). The number is the
same in every process and on every version of Python that performs the same operations.

A step's hash is made of its task's creation path and operation, of the hash of the task's step before, and of those of
the last steps that it depends on. So it speaks of the step's whole past, and no objects need be told apart by name,
which may differ between two executions of one class. An execution's is the sum over its steps.

Does not: look into steps; two that differ in what no operation shows are one.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from verify.dependence import conflict, whole
from verify.steps import StepLog, Steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verify.dependence import Key
    from verify.steps import Step

MASK = (1 << 63) - 1
FACTOR, OTHER = 0x5851F42D4C957F2D, 0x14057B7EF767814F
Where = tuple[str, str, int]
"""A step, as it can be found again: the task's path, the operation, and which one of the task's steps it is."""


class Classes(StepLog):
    """After a run, `fingerprint` names its class. A listener: give it to a session beside the detectors."""

    name = "classes"

    def __init__(self) -> None:
        super().__init__()
        self.words: dict[tuple[str, ...], int] = {}

    @property
    def fingerprint(self) -> int:
        """The class of the last execution, 63 bits."""
        return _Hashes(self).total

    def conflicts(self) -> Iterator[tuple[Where, Where]]:
        """Yield the pairs of steps of different tasks that depend on each other, in their order, each once.

        Pairs with a step between that depends on both, and that has the later one's place in the same object's
        history, are left out: what is reversed is neighbours.
        """
        steps = self.steps()
        where = [*self._places(steps)]
        for at, step in enumerate(steps):
            for before in _neighbours(steps, at, step):
                yield where[before], where[at]

    def steps(self) -> list[Step]:
        """Return the steps of the last execution."""
        steps = Steps()
        steps.take(self)
        return steps.list

    def _places(self, steps: list[Step]) -> Iterator[Where]:
        counts: dict[int, int] = {}
        for step in steps:
            counts[step.task] = count = counts.get(step.task, 0) + 1
            yield self.paths[step.task], step.ops[0], count

    def word(self, step: Step) -> int:
        """Return a hash of what the step is by itself."""
        text = (self.paths[step.task], *step.ops)
        word = self.words.get(text)
        if word is None:
            digest = blake2b("\0".join(text).encode(), digest_size=8).digest()
            word = self.words[text] = int.from_bytes(digest, "little")
        for value in step.values:
            word = _mix(word, value)
        return word


def _neighbours(steps: list[Step], at: int, step: Step) -> Iterator[int]:
    for access in step.accesses:
        for before in range(at - 1, -1, -1):
            other = steps[before]
            meets = [each for each in other.accesses if conflict(each, access)]
            if meets and other.task != step.task:
                yield before
            if any(write for _, write in meets):
                break


def _mix(one: int, other: int) -> int:
    mixed = ((one ^ (one >> 29)) * FACTOR + other * OTHER + 0x2545F4914F6CDD1D) & MASK
    return mixed ^ (mixed >> 31)


class _Hashes:
    """Goes through an execution once."""

    def __init__(self, classes: Classes) -> None:
        self.tasks: dict[int, int] = {}
        self.written: dict[Key, int] = {}
        self.read: dict[Key, int] = {}
        self.parts: dict[Key, list[tuple[int, int, bool, int]]] = {}
        self.everything = 0
        self.total = 0
        steps = Steps()
        steps.take(classes)
        self.born = steps.born
        made: list[int] = []
        for step in steps.list:
            made.append(self._hash(step, classes.word(step), made))
            self.total = (self.total + made[-1]) & MASK

    def _hash(self, step: Step, word: int, made: list[int]) -> int:
        before = self.tasks.get(step.task)
        if before is None:
            before = made[self.born[step.task]] if step.task in self.born else 0
        value = _mix(_mix(word, before), self.everything)
        if step.everything:
            value = _mix(value, sum(self.tasks.values()))
        for number, (key, write) in enumerate(step.accesses):
            value = _mix(value, self._past(key, write=write) + number)
        for key, write in step.accesses:
            self._enter(key, value, write=write)
        self.tasks[step.task] = value
        if step.everything:
            self.everything = value
        return value

    def _past(self, key: Key, *, write: bool) -> int:
        if isinstance(key, tuple):
            thing, lo, hi = whole(key)
            mine = ((thing, lo, hi), write)
            history = self.parts.get(thing, [])
            return sum(
                past for low, high, wrote, past in history if conflict(((thing, low, high), wrote), mine)
            )  # fmt: skip
        past = self.written.get(key, 0)
        return past + self.read.get(key, 0) if write else past

    def _enter(self, key: Key, value: int, *, write: bool) -> None:
        if isinstance(key, tuple):
            thing, lo, hi = whole(key)
            history = self.parts.setdefault(thing, [])
            if write:
                # What is overwritten whole is in this step's past: who depends on it depends on this one, too.
                history[:] = [each for each in history if not _covers(lo, hi, each[0], each[1])]
            history.append((lo, hi, write, value))
        elif write:
            self.written[key] = value
            self.read[key] = 0
        else:
            self.read[key] = self.read.get(key, 0) + value


def _covers(lo: int, hi: int, low: int, high: int) -> bool:
    """Say whether the part [lo, hi) of an object contains the part [low, high); `hi` 0 is the whole."""
    return not hi or (bool(high) and lo <= low and high <= hi)
