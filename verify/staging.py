"""Watching what stands between the steps of a recorded run: holds, waits, and the program's lines.

Promises: the state after a step is read when the next one takes effect, or at the end while every task still stands,
so that what is kept was so; only what may have changed is looked at. Costs nothing outside of recorded runs.
Assumes one instance for one execution, told of every step in order.
"""

from __future__ import annotations

import linecache
import re
from typing import TYPE_CHECKING, Final, NamedTuple

from traces.scene import (
    MOST_INTERVALS,
    MOST_KEPT,
    MOST_LINE,
    MOST_LINES,
    MOST_SOURCES,
    VERSION,
    Hold,
    Scene,
    Source,
    Wait,
)
from verify.abc import name_of, title_of
from verify.runtime.naming import Holdable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from verify.abc import ExecutionView, TaskView

__all__ = ["Staging", "sources"]

TAKEN_BACK: Final = frozenset({"Condition.wake", "Condition.timeout"})
AROUND: Final = 4
"""Lines kept before and after each line that a step is at."""
_SITE: Final = re.compile(r"(?P<file>.+?):(?P<line>[0-9]{1,7})(?: .*)?", re.DOTALL)


class _Waiting(NamedTuple):
    op: str
    object: str
    owner: str


class Staging:
    """Keeps who holds which lock and who waits for whom, as intervals of steps."""

    def __init__(self) -> None:
        self.titles: dict[str, str] = {}
        self._seen = 0
        self._touched: object = None
        self._holding: dict[int, tuple[Holdable, TaskView, int]] = {}
        """By identity of a lock that is held: the lock, its holder, and since which step."""
        self._waiting: dict[str, tuple[_Waiting, int]] = {}
        self._holds: list[Hold] = []
        self._waits: list[Wait] = []

    def step(self, execution: ExecutionView, op: str, target: object) -> None:
        """A step takes effect now, on `target`: look at what the one before it came to."""
        if self._seen:
            # What wakes from a condition has its lock back when it is announced; all others act afterwards.
            self.look(execution, _lock_of(target) if op in TAKEN_BACK else None)
        self._touched = target
        self._seen += 1

    def look(self, execution: ExecutionView, but: Holdable | None = None) -> None:
        """Take in the state after the last step; the lock `but` has changed since."""
        at = self._seen - 1
        if 0 <= at < MOST_KEPT and len(self._holds) + len(self._waits) < MOST_INTERVALS // 2:
            self._look_at_locks(at, but)
            self._look_at_waits(execution, at)

    def _look_at_locks(self, at: int, but: Holdable | None) -> None:
        locks = {id(lock): lock for lock, _, _ in self._holding.values()}
        if (touched := _lock_of(self._touched)) is not None:
            locks[id(touched)] = touched
        for lock in locks.values():
            before, now = self._holding.get(id(lock)), None if lock is but else lock.holder
            if before is not None and before[1] is now:
                continue
            if before is not None:
                self._holds.append(Hold(lock.name, before[1].path, before[2], at - 1))
                del self._holding[id(lock)]
            if now is not None:
                self.titles[lock.name] = lock.title
                self._holding[id(lock)] = (lock, now, at)

    def _look_at_waits(self, execution: ExecutionView, at: int) -> None:
        for task in execution.tasks:
            before, now = self._waiting.get(task.path), self._wait_of(execution, task)
            if before is not None and before[0] == now:
                continue
            if before is not None:
                self._waits.append(Wait(task.path, *before[0], before[1], at - 1))
                del self._waiting[task.path]
            if now is not None:
                self._waiting[task.path] = (now, at)

    def _wait_of(self, execution: ExecutionView, task: TaskView) -> _Waiting | None:
        waits = None if task.done else execution.waits_for(task)
        if waits is None:
            return None
        subject, owner = waits
        self.titles.setdefault(name_of(subject), title_of(subject))
        return _Waiting(task.op, name_of(subject), owner.path if owner is not None else "")

    def scene(self, sites: Iterable[str]) -> Scene:
        """Return what was seen, with the program's lines around `sites`."""
        kept = min(self._seen, MOST_KEPT)
        held = [Hold(lock.name, by.path, at, None) for lock, by, at in self._holding.values()]
        left = [Wait(task, *what, at, None) for task, (what, at) in self._waiting.items()]
        holds, waits = (*self._holds, *held), (*self._waits, *left)
        return Scene(VERSION, kept, holds, waits, tuple(sources(sites)))


def _lock_of(target: object) -> Holdable | None:
    """Return the lock that an operation on `target` takes or gives back: itself, or that of a condition."""
    lock = target if isinstance(target, Holdable) else getattr(target, "lock", None)
    return lock if isinstance(lock, Holdable) else None


def sources(sites: Iterable[str]) -> Iterator[Source]:
    """Yield the lines around each site `file:line function` that can be read, in blocks that do not overlap."""
    wanted: dict[str, set[int]] = {}
    for site in sites:
        if match := _SITE.fullmatch(site):
            line = int(match["line"])
            around = range(max(1, line - AROUND), line + AROUND + 1)
            wanted.setdefault(match["file"], set()).update(around)
    blocks = (block for file, lines in wanted.items() for block in _blocks(file, sorted(lines)))
    for _, block in zip(range(MOST_SOURCES), blocks, strict=False):
        yield block


def _blocks(file: str, numbers: list[int]) -> Iterator[Source]:
    text = linecache.getlines(file)
    begin, lines = 0, list[str]()
    for number in numbers:
        if number > len(text):
            break
        if lines and (number != begin + len(lines) or len(lines) == MOST_LINES):
            yield Source(file, begin, tuple(lines))
            lines = []
        begin = begin if lines else number
        lines.append(text[number - 1].rstrip("\r\n")[:MOST_LINE])
    if lines:
        yield Source(file, begin, tuple(lines))
