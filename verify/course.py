"""The order of operations that a recording holds, as a course to steer by, and the hang at its end.

Promises: plain values, made of one snapshot alone. Objects of a recording and of a check have no common names, and
threads have none but those the program gives; so an operation is told by its thread, its name and its source line,
and a thread by its path of creation where the recording still has it, else by its name and the order in which threads
of that name came. Entries of one object stand in their true order in a recording, so the one order of all entries
keeps the order at every object.
Assumes that the snapshot was taken while the program stood still, or went round in circles.
Does not: know what the operations mean, nor run anything.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from verify.observe.snapshot import Entry, Frame, Snapshot, ThreadState

__all__ = [
    "MAIN",
    "Course",
    "Mark",
    "Stand",
    "Track",
    "course_of",
    "same_name",
    "site_of",
    "site_of_text",
]

IN_A_CHECK: Final = {
    "time.sleep": "sleep",
    "select.select": "Selector.select",
    "Future.result": "Condition.wait",
    "Future.exception": "Condition.wait",
}
"""Operations that a recording and a check call by different names."""
UNSEEN: Final = frozenset({"threading._shutdown"})
"""Waits of the interpreter itself, which a check does not have."""
MAIN: Final = "main"
"""The main thread's path, and its name where it stands."""
MACHINERY: Final = frozenset({"threading.py", "queue.py", "socket.py", "selectors.py"})
TAIL: Final = 256
"""Threads that made one of the last so many operations move, whatever they were in when the picture was taken."""

_NUMBERED = re.compile(r"^(Thread|Dummy|Timer)-\d+")

Stand = tuple[str, str, str]
"""Who waits where: the thread's name, the operation in the words of a check, and the site."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One recorded operation: its place in the order over all threads (from 0), its name in a check, its site."""

    order: int
    operation: str
    site: str


@dataclass(frozen=True, slots=True)
class Track:
    """One recorded thread: its operations in order, and the wait in which it was found at the end (None: in none).

    `path` is its path of creation below the main thread, empty where the recording has lost it; `moving` says that
    it made operations to the end, or computed.
    """

    slot: int
    name: str
    path: str
    marks: tuple[Mark, ...]
    goal: Mark | None
    moving: bool

    @property
    def stand(self) -> Stand | None:
        """Where it waited at the end."""
        if self.goal is None:
            return None
        name = MAIN if self.path == MAIN else same_name(self.name)
        return name, self.goal.operation, self.goal.site


@dataclass(frozen=True, slots=True)
class Course:
    """What to steer by. `length` counts the operations; `whole` says that the first one is among them."""

    tracks: tuple[Track, ...]
    length: int
    whole: bool

    @property
    def stands(self) -> Counter[Stand]:
        """Who waited where at the end; threads of one name can stand at the same place."""
        return Counter(track.stand for track in self.tracks if track.stand is not None)


def site_of(frame: Frame) -> str:
    """Return `file:line` without directories, which differ between machines; "" for the threading machinery itself.

    A check folds that machinery away: a thread that runs nothing of the program has no site there.
    """
    path = PurePath(frame.file)
    if path.name in MACHINERY and path.parent.name.startswith("python"):
        return ""
    return f"{path.name}:{frame.line}"


def site_of_text(site: str) -> str:
    """Return the same of a check's `path/file:line function`."""
    place = site.rpartition(" ")[0]
    return place.replace("\\", "/").rpartition("/")[2]


def same_name(name: str) -> str:
    """Return a thread's name without the number that `threading` gave it: it depends on what ran before."""
    return _NUMBERED.sub(r"\1", name)


def course_of(snapshot: Snapshot, *, since_ns: int = 0) -> Course:
    """Return the course that `snapshot` holds; what is older than `since_ns` belongs to an earlier run."""
    entries = [entry for entry in snapshot.ring if entry.ns >= since_ns]
    cut = len(entries) < len(snapshot.ring)
    whole = cut or not entries or entries[0].seq <= 1 or snapshot.progress <= len(snapshot.ring)
    states = {state.slot: state for state in snapshot.threads if _takes_part(state, since_ns)}
    slots = list(dict.fromkeys([*states, *(entry.slot for entry in entries)]))
    paths = _paths(snapshot, entries, states)
    marks, goals = _in_order(entries, states)
    moving = {entry.slot for entry in entries[-TAIL:]}
    tracks = [
        Track(
            slot,
            states[slot].name if slot in states else "",
            paths.get(slot, ""),
            tuple(marks.get(slot, ())),
            goals.get(slot),
            slot in states
            and states[slot].alive
            and (states[slot].waiting is None or slot in moving),
        )
        for slot in sorted(slots)
    ]
    return Course(tuple(tracks), len(entries), whole)


def _takes_part(state: ThreadState, since_ns: int) -> bool:
    return state.alive or (state.ended_ns or 0) >= since_ns


def _in_order(
    entries: Iterable[Entry], states: dict[int, ThreadState]
) -> tuple[dict[int, list[Mark]], dict[int, Mark]]:
    """Number operations and last waits in one order; a wait stands where it began."""
    rows = [(entry.ns, 0, entry) for entry in entries]
    waits = sorted(
        (state.waiting.since_ns, slot)
        for slot, state in states.items()
        if state.alive
        and state.waiting is not None
        and state.waiting.stack
        and state.waiting.operation not in UNSEEN
    )
    marks: dict[int, list[Mark]] = {}
    goals: dict[int, Mark] = {}
    order = 0

    def begun(until_ns: int | None) -> None:
        nonlocal order
        while waits and (until_ns is None or waits[0][0] < until_ns):
            _, slot = waits.pop(0)
            waiting = states[slot].waiting
            assert waiting is not None
            goals[slot] = Mark(order, _word(waiting.operation), site_of(waiting.stack[0]))
            order += 1

    for ns, _, entry in rows:
        begun(ns)
        mark = Mark(order, _word(entry.operation), site_of(entry.site))
        marks.setdefault(entry.slot, []).append(mark)
        order += 1
    begun(None)
    return marks, goals


def _word(operation: str) -> str:
    return IN_A_CHECK.get(operation, operation)


def _paths(
    snapshot: Snapshot, entries: list[Entry], states: dict[int, ThreadState]
) -> dict[int, str]:
    """Return paths of creation as a check names them, as far as the starts are still recorded."""
    main = next((slot for slot, state in states.items() if state.role == "main"), None)
    if main is None:
        return {}
    started = {thing.id: thing.value for thing in snapshot.objects if thing.kind == "Thread"}
    paths = {main: MAIN}
    children: Counter[int] = Counter()
    for entry in entries:
        if entry.operation == "Thread.start":
            children[entry.slot] += 1
            child = started.get(entry.object)
            if child is not None and entry.slot in paths:
                paths[child] = f"{paths[entry.slot]}/{children[entry.slot]}"
    return paths
