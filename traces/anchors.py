"""Anchors: what each step of a run is told by when the program's text has changed.

Promises: every value is immutable; `anchors` takes parsed JSON from anywhere and returns a value whose every field has
its type and keeps its bound, whose version is known and whose numbers name places and threads that are there, or raises
`TraceError` naming the field.
Does not know what an edit did: matching is for whoever replays.

No line number and no count over the whole run is in them: a thread is told by its role and the how-manieth of that
role it is, an operation by function, source line without its spaces and comments, and the object with the line that
made it. Which occurrence a step is follows from the order of the steps.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traces._fields import RECORD_AGAIN, Fields, as_whole, wrong
from traces.errors import TraceError, quoted

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MOST_KEPT", "VERSION", "Anchors", "Mark", "Place", "Track", "anchors"]

VERSION = 1
MOST_KEPT = 20_000
"""Steps of a run that are kept; the later ones of a longer run have no anchor."""
MOST_TRACKS = 10_000
MOST_PLACES = MOST_KEPT + MOST_TRACKS
MOST_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Place:
    """A place in the program's text where it does `op` to an object.

    `function` is the qualified name, `line` the source line, `object` what the program calls the object
    (`Account.lock`, of an access `Account.balance`), `made` the source line that made it; "" where it is not known.
    """

    function: str
    line: str
    op: str
    object: str
    made: str


@dataclass(frozen=True, slots=True)
class Track:
    """A thread: its creation path, its role (`main`, or its name without numbers), its rank among those of one role.

    Ranks count from 0, in order of creation.
    """

    path: str
    role: str
    rank: int


@dataclass(frozen=True, slots=True)
class Mark:
    """One step: the `nth` time (from 0) that the thread number `track` is at the place number `place`."""

    track: int
    place: int
    nth: int


@dataclass(frozen=True, slots=True)
class Anchors:
    """The anchors of one run.

    `steps` are thread and place of each step, in order; `ends` the same of what each unfinished thread stood before at
    the end; both count in `tracks` and `places`. `shown` are the places the failure's key names, each with the
    operation or the exception as `op`: two failures that show at the same places are one.
    """

    version: int
    places: tuple[Place, ...]
    tracks: tuple[Track, ...]
    steps: tuple[tuple[int, int], ...]
    ends: tuple[tuple[int, int], ...]
    shown: tuple[Place, ...]

    def marks(self) -> tuple[Mark, ...]:
        """Return the steps, then the ends, each with its occurrence."""
        counts: Counter[tuple[int, int]] = Counter()
        out = []
        for pair in (*self.steps, *self.ends):
            out.append(Mark(*pair, counts[pair]))
            counts[pair] += 1
        return tuple(out)


def anchors(value: object, where: str) -> Anchors | None:
    """Read `Anchors`, or null."""
    if value is None:
        return None
    fields = Fields(value, where, Anchors)
    version = fields.whole("version")
    if version != VERSION:
        problem = f"{quoted(version)}, but this stage3 reads version {VERSION}"
        raise TraceError(
            f"{where}.version", problem, "use the stage3 that wrote it, or record it again"
        )
    places = fields.rows("places", _place, MOST_PLACES)
    tracks = fields.rows("tracks", _track, MOST_TRACKS)
    pair = _pair_below(len(tracks), len(places))
    return Anchors(
        version,
        places,
        tracks,
        fields.rows("steps", pair, MOST_KEPT),
        fields.rows("ends", pair, MOST_TRACKS),
        fields.rows("shown", _place, MOST_SHOWN),
    )


def _place(value: object, where: str) -> Place:
    fields = Fields(value, where, Place)
    return Place(
        function=fields.text("function"),
        line=fields.text("line"),
        op=fields.text("op"),
        object=fields.text("object"),
        made=fields.text("made"),
    )


def _track(value: object, where: str) -> Track:
    fields = Fields(value, where, Track)
    return Track(path=fields.text("path"), role=fields.text("role"), rank=fields.whole("rank"))


def _pair_below(tracks: int, places: int) -> Callable[[object, str], tuple[int, int]]:
    def read(value: object, where: str) -> tuple[int, int]:
        if not isinstance(value, list):
            wrong(where, value, "a list of two numbers")
        if len(value) != 2:
            raise TraceError(where, f"has {len(value)} elements, not 2", RECORD_AGAIN)
        track, place = (as_whole(number, f"{where}[{at}]") for at, number in enumerate(value))
        if track >= tracks:
            wrong(f"{where}[0]", track, f"the number of one of {tracks} threads")
        if place >= places:
            wrong(f"{where}[1]", place, f"the number of one of {places} places")
        return track, place

    return read
