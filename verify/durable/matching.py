"""Which place of the new text is which of the old one, and which thread is which.

Promises: no place stands for two; what matches best is taken first, and what matches too little stays unmatched. The
same two texts give the same answer.
Does not: know what an edit meant. A match says that the operation is the same kind of operation, and that function,
source line, object, and the line that made the object agree in enough of them (`LEAST` of `MOST` points).

| agrees | points |
|---|---|
| source line: to the letter / but for names / in three fifths of its characters | 4 / 3 / up to 3 |
| object: to the letter / field, or class, alone | 3 / 2, 1 |
| function: to the letter / but for where it is defined | 2 / 1.5 |
| the line that made the object: to the letter / but for names | 1 / 0.7 |
| the how-manieth place with such an operation | 1 |
| a thread that comes there | 1 |

Names that an edit changed throughout are replaced first (`renaming`).
"""

from __future__ import annotations

import difflib
from collections import Counter
from typing import TYPE_CHECKING

from verify.durable.places import MAIN, role_of_task
from verify.durable.renaming import renamed, shape, translate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from traces.anchors import Place, Track
    from verify.abc import ExecutionView, TaskView

LEAST = 4.0
MOST = 12.0
ALIKE = 0.6
FAMILIES = (
    frozenset({"Lock.acquire", "RLock.acquire", "Lock.try_acquire", "RLock.try_acquire"}),
    frozenset({"Lock.release", "RLock.release"}),
)
"""Operations that a small edit turns into each other."""
OTHER_OP = 0.8


def family(op: str) -> str:
    """Return a name for what kind of operation `op` is."""
    return next((f"family {at}" for at, ops in enumerate(FAMILIES) if op in ops), op)


def same_line(one: str, other: str) -> float:
    """Return how much two lines agree, from 0 to 1."""
    if not one or not other:
        return 0.0
    if one == other:
        return 1.0
    if shape(one) == shape(other):
        return 0.75
    ratio = difflib.SequenceMatcher(None, one, other, autojunk=False).ratio()
    return 0.75 * ratio if ratio >= ALIKE else 0.0


def same_function(one: str, other: str) -> float:
    """Return how much two qualified names agree, from 0 to 1."""
    if one == other:
        return 1.0 if one else 0.0
    return 0.75 if one.rpartition(".")[2] == other.rpartition(".")[2] else 0.0


def _same_object(one: str, other: str) -> float:
    if one == other:
        return 3.0 if one else 0.0
    kind, _, field = one.rpartition(".")
    other_kind, _, other_field = other.rpartition(".")
    if field == other_field:
        return 2.0
    return 1.0 if kind and kind == other_kind else 0.0


def likeness(old: Place, new: Place) -> float:
    """Return how much two places agree, without the last two rows of the table; 0 where the operations differ."""
    if family(old.op) != family(new.op):
        return 0.0
    made = same_line(old.made, new.made)
    points = 4 * same_line(old.line, new.line) + 2 * same_function(old.function, new.function)
    points += _same_object(old.object, new.object) + (0.7 if made == 0.75 else float(made == 1.0))
    return points if old.op == new.op else OTHER_OP * points


class Places:
    """Old places, and the new ones that were met so far.

    `order` is that in which they come thread by thread: unlike the order in a run it does not depend on the schedule.
    `visits` says which recorded threads come there, `names` what names have become.
    """

    def __init__(self, old: Sequence[Place], visits: Sequence[tuple[int, int]]) -> None:
        self.old = old
        visits = sorted(visits, key=lambda pair: pair[0])
        self.turn = _turns(dict.fromkeys([*(old[place] for _, place in visits), *old]))
        self.order: dict[Place, None] = {}
        self.names: Mapping[str, str] = {}
        self.old_visits: dict[int, set[int]] = {}
        self.visits: dict[Place, set[int]] = {}
        for track, place in visits:
            self.old_visits.setdefault(place, set()).add(track)
        self.new: dict[Place, int | None] = {}
        self.taken: set[int] = set()
        self.met: dict[Place, None] = {}

    def settle(self) -> None:
        """Match all places that were met, the likeliest pairs first."""
        self.new = dict.fromkeys(self.met)
        self.taken = set()
        turn = _turns({**self.order, **self.met})

        def agree(at: int, new: Place) -> float:
            same_thread = bool(self.old_visits.get(at, set()) & self.visits.get(new, set()))
            return (self.turn[self.old[at]] == turn[new]) + same_thread

        where = {place: at for at, place in enumerate(self.old)}
        self.names = renamed(
            self.old,
            list(self.met),
            lambda old, new: (
                likeness(old, new) + agree(where[old], new)
                if family(old.op) == family(new.op)
                else 0
            ),
        )
        pairs = [
            (points, at, new)
            for new in self.met
            for at, old in enumerate(self.old)
            if (points := likeness(translate(old, self.names), new) + agree(at, new)) >= LEAST
            and family(old.op) == family(new.op)
        ]
        for _, at, new in sorted(pairs, key=lambda pair: (-pair[0], pair[1], turn[pair[2]])):
            if self.new[new] is None and at not in self.taken:
                self.new[new] = at
                self.taken.add(at)

    def number(self, new: Place) -> int | None:
        """Return which old place `new` is; one that was not met before gets the likeliest that is left."""
        self.met[new] = None
        if new in self.new:
            return self.new[new]
        left = (
            (likeness(translate(old, self.names), new), -at)
            for at, old in enumerate(self.old)
            if at not in self.taken
        )
        points, at = max(left, default=(0.0, 0))
        found = -at if points >= LEAST else None
        self.new[new] = found
        if found is not None:
            self.taken.add(found)
        return found


def _turns(places: Iterable[Place]) -> dict[Place, int]:
    counts: Counter[str] = Counter()
    out = {}
    for place in places:
        kind = family(place.op)
        out[place] = counts[kind]
        counts[kind] += 1
    return out


class Threads:
    """Old threads, and which new task is which: by role and rank, else by path of creation, else the next of no role.

    A role is gone if no new thread has it; its threads are then those of a role that was not there before.
    """

    def __init__(self, old: Sequence[Track]) -> None:
        self.old = old
        self.roles = {track.role for track in old}
        self.met: set[str] = set()
        self.claimed: set[int] = set()

    def meet(self, execution: ExecutionView) -> None:
        """Take note of the roles there are."""
        self.met.update(role_of_task(task) for task in execution.tasks)

    def begin(self) -> None:
        """Forget who was who in the last execution."""
        self.tracks: dict[int, int | None] = {}

    def number(self, execution: ExecutionView, task: TaskView) -> int | None:
        """Return the number of the old thread that `task` is, None for one that was not there."""
        while task.index not in self.tracks:
            new = execution.tasks[len(self.tracks)]
            self.tracks[new.index] = found = self._claim(new)
            if found is not None:
                self.claimed.add(found)
        return self.tracks[task.index]

    def _claim(self, task: TaskView) -> int | None:
        role = role_of_task(task)
        left = [at for at in range(len(self.old)) if at not in self.tracks.values()]
        if role == MAIN:
            return next((at for at in left if self.old[at].role == MAIN), None)
        same = [at for at in left if self.old[at].role == role]
        if not same and role not in self.roles:
            same = [at for at in left if self.old[at].role not in self.met | {MAIN}]
        by_path = (at for at in same if self.old[at].path == task.path)
        return next(by_path, next(iter(same), None))
