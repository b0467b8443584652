"""A lock-order graph as plain values, and its JSON: which locks were taken while which were held, and what follows.

Promises: every value is immutable; `from_json(to_json(graph)) == graph`; `from_json` takes text from anywhere and
either returns a graph whose every field has its type and keeps its bound, or raises `TraceError` naming the field.
Does no I/O, and judges nothing: cycles and their verdicts are found by `verify.lock_order`.

Locks are told by class: where they are made and what the program calls them. An id outlives edits that move lines:
only a lock without a name is told by its line.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from traces._fields import RECORD_AGAIN, Fields, as_text, as_whole, parse, wrong
from traces.errors import TraceError, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

__all__ = [
    "FORMAT",
    "POTENTIAL",
    "SILENT",
    "VERSION",
    "Cycle",
    "Edge",
    "EdgeKey",
    "Graph",
    "Link",
    "LockClass",
    "Mode",
    "Notified",
    "Outcome",
    "Status",
    "Wait",
    "canonical",
    "fingerprint",
    "from_json",
    "to_json",
]

FORMAT: Final = "stage3-lock-order"
VERSION: Final = 1
MOST_CHARACTERS: Final = 64 * 1024 * 1024
MOST_CLASSES: Final = 20_000
MOST_EDGES: Final = 100_000
MOST_CYCLES: Final = 20_000
MOST_LENGTH: Final = 16
MOST_NAMES: Final = 16
MOST_NOTES: Final = 64
MOST_GATES: Final = 64

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")

POTENTIAL: Final = "potential"
SILENT: Final = "silent"


class Mode(StrEnum):
    """How a lock was taken. Only `WAITS` can be part of a deadlock."""

    WAITS = "waits"
    TRIES = "tries"
    GIVES_UP = "gives up"
    AGAIN = "again"
    IN_ORDER = "in order of keys"
    AGAINST_ORDER = "against the order of keys"


class Status(StrEnum):
    """What the directed search for a cycle came to."""

    CONFIRMED = "confirmed"
    NOT_REACHED = "not reached"
    EXCLUDED = "excluded"


@dataclass(frozen=True, slots=True)
class LockClass:
    """Locks made at one place under one name.

    `id` is what everything else refers to; `kind` is Lock, RLock, or what the program declared; `line` is where
    `function` of `file` makes them; `most` is the largest number of them in one run; `handed` says that one was given
    back by another thread than the one that took it: a signal, no mutex.
    """

    id: str
    name: str
    kind: str
    file: str
    function: str
    line: int
    most: int
    handed: bool

    @property
    def place(self) -> str:
        """Return `file:line function`, or nothing where it is not known."""
        return f"{self.file}:{self.line} {self.function}" if self.file else ""


class EdgeKey(NamedTuple):
    """What makes two edges the same: `after` was taken in `mode` while `before` and the `gates` were held.

    Both ends are ids of classes. `main` says that the main thread did it; `held_shared` and `taken_shared` that the
    lock was held, or taken, for reading.
    """

    before: str
    after: str
    mode: Mode
    gates: tuple[str, ...]
    main: bool
    held_shared: bool
    taken_shared: bool


@dataclass(frozen=True, slots=True)
class Edge:
    """An edge with its evidence: which threads, and one place where `before` was taken and one where `after` was.

    `sources` are the programs in which it was seen: `target@digest` under control, a command or a session otherwise.
    """

    key: EdgeKey
    threads: tuple[str, ...]
    held_at: str
    taken_at: str
    count: int
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Link:
    """One thread's part in a cycle: it took `held` at `held_at`, and wants `wanted` at `wanted_at`."""

    thread: str
    held: str
    held_at: str
    wanted: str
    wanted_at: str


@dataclass(frozen=True, slots=True)
class Cycle:
    """A cycle of edges as one run judged it: `potential`, or `silent` with the reason.

    `reason` is one word of the judge's ("gate", "ordered", ...), `detail` a sentence. `objects` says that the very
    locks close the cycle; else the classes alone do.
    """

    edges: tuple[EdgeKey, ...]
    verdict: str
    reason: str
    detail: str
    links: tuple[Link, ...]
    objects: bool
    count: int

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes of the cycle, each held while the next one is taken."""
        return tuple(edge.before for edge in self.edges)


@dataclass(frozen=True, slots=True)
class Wait:
    """A wait for a notification of `condition` while `held` was held, at `site`."""

    held: str
    condition: str
    site: str
    thread: str
    count: int


@dataclass(frozen=True, slots=True)
class Notified:
    """What threads held at every notification of `condition` that was seen, besides its own lock."""

    condition: str
    held: tuple[str, ...]
    count: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the directed search for the cycle with `fingerprint` on `target` came to, in `runs` executions.

    `scope` is the source that an exclusion speaks of, "" for the others: of edges seen elsewhere it says nothing.
    """

    fingerprint: str
    status: Status
    runs: int
    target: str
    token: str
    note: str
    scope: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """All of it: `runs` judged runs went in. `notes` say what is incomplete."""

    runs: int = 0
    classes: Mapping[str, LockClass] = field(default_factory=dict, hash=False)
    edges: Mapping[EdgeKey, Edge] = field(default_factory=dict, hash=False)
    cycles: Mapping[tuple[EdgeKey, ...], Cycle] = field(default_factory=dict, hash=False)
    waits: Mapping[tuple[str, str], Wait] = field(default_factory=dict, hash=False)
    notified: Mapping[str, Notified] = field(default_factory=dict, hash=False)
    outcomes: Mapping[str, Outcome] = field(default_factory=dict, hash=False)
    notes: tuple[str, ...] = ()


def canonical(edges: Iterable[EdgeKey]) -> tuple[EdgeKey, ...]:
    """Return the same circle of edges, begun where it always begins."""
    row = tuple(edges)
    return min(row[at:] + row[:at] for at in range(len(row)))


def fingerprint(classes: Iterable[str]) -> str:
    """Return 16 hex digits that name the circle of classes, wherever it is begun."""
    row = tuple(classes)
    first = min(row[at:] + row[:at] for at in range(len(row)))
    return blake2b("\0".join(first).encode(), digest_size=8).hexdigest()


def to_json(graph: Graph) -> str:
    """Return the text of the file: ASCII, a record a line, the same for the same graph."""
    keys = sorted(graph.edges)
    number = {key: at for at, key in enumerate(keys)}
    cycles = [
        {**asdict(graph.cycles[row]), "edges": [number[key] for key in row]}
        for row in sorted(graph.cycles)
    ]
    edges = [{**asdict(graph.edges[key]), "key": key._asdict()} for key in keys]
    members = {
        "format": FORMAT,
        "version": VERSION,
        "runs": graph.runs,
        "classes": [asdict(graph.classes[name]) for name in sorted(graph.classes)],
        "edges": edges,
        "cycles": cycles,
        "waits": [asdict(graph.waits[key]) for key in sorted(graph.waits)],
        "notified": [asdict(graph.notified[key]) for key in sorted(graph.notified)],
        "outcomes": [asdict(graph.outcomes[key]) for key in sorted(graph.outcomes)],
        "notes": list(graph.notes),
    }
    return "{\n" + ",\n".join(_member(*item) for item in members.items()) + "\n}\n"


def _member(name: str, value: object) -> str:
    if isinstance(value, list) and value:
        rows = ",\n".join("  " + json.dumps(row, allow_nan=False) for row in value)
        return f' "{name}": [\n{rows}\n ]'
    return f' "{name}": {json.dumps(value, allow_nan=False)}'


def from_json(text: str) -> Graph:
    """Return the graph that `text` holds; raise `TraceError` for what `to_json` cannot write."""
    if len(text) > MOST_CHARACTERS:
        problem = f"has {len(text)} characters, at most {MOST_CHARACTERS}"
        raise TraceError("lock-order file", problem, RECORD_AGAIN)
    value = parse(text)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise TraceError(
            "format", f'this is not a "{FORMAT}" file', "give a file of stage3 lock-order"
        )
    version = value.get("version")
    if isinstance(version, bool) or version != VERSION:
        problem = f"{quoted(version)}, but this stage3 reads version {VERSION}"
        raise TraceError("version", problem, "use the stage3 that wrote it, or record it again")
    top = Fields(value, "", Graph, extra=("format", "version"))
    edges = top.rows("edges", _edge, MOST_EDGES)
    keys = [edge.key for edge in edges]

    def cycle(row: object, where: str) -> Cycle:
        return _cycle(row, where, keys)

    waits = top.rows("waits", _wait, MOST_CYCLES)
    graph = Graph(
        runs=top.whole("runs"),
        classes=_once("classes", top.rows("classes", _class, MOST_CLASSES), lambda each: each.id),
        edges=_once("edges", edges, lambda each: each.key),
        cycles=_once("cycles", top.rows("cycles", cycle, MOST_CYCLES), lambda each: each.edges),
        waits=_once("waits", waits, lambda each: (each.held, each.condition)),
        notified=_once(
            "notified", top.rows("notified", _notified, MOST_CYCLES), lambda each: each.condition
        ),
        outcomes=_once(
            "outcomes", top.rows("outcomes", _outcome, MOST_CYCLES), lambda each: each.fingerprint
        ),
        notes=top.rows("notes", as_text, MOST_NOTES),
    )
    _check_references(graph)
    return graph


def _once(where: str, rows: Iterable[V], key: Callable[[V], K]) -> dict[K, V]:
    """Return the rows by what tells them apart; refuse what is told twice."""
    out: dict[K, V] = {}
    for at, row in enumerate(rows):
        if out.setdefault(key(row), row) is not row:
            raise TraceError(f"{where}[{at}]", "is there twice", RECORD_AGAIN)
    return out


def _check_references(graph: Graph) -> None:
    """Refuse edges and waits of unknown classes."""
    for at, key in enumerate(graph.edges):
        for name in (key.before, key.after, *key.gates):
            if name not in graph.classes:
                wrong(f"edges[{at}].key", name, "the id of a class in this file")
    for at, wait in enumerate(graph.waits.values()):
        if wait.held not in graph.classes:
            wrong(f"waits[{at}].held", wait.held, "the id of a class in this file")


def _class(value: object, where: str) -> LockClass:
    fields = Fields(value, where, LockClass)
    return LockClass(
        id=fields.text("id"),
        name=fields.text("name"),
        kind=fields.text("kind"),
        file=fields.text("file"),
        function=fields.text("function"),
        line=fields.whole("line"),
        most=fields.whole("most"),
        handed=fields.flag("handed"),
    )


def _edge_key(value: object, where: str) -> EdgeKey:
    if not isinstance(value, dict) or value.keys() != set(EdgeKey._fields):
        wrong(where, value, f"an object with {', '.join(EdgeKey._fields)}")
    texts = {name: as_text(value[name], f"{where}.{name}") for name in ("before", "after", "mode")}
    if texts["mode"] not in set(Mode):
        wrong(f"{where}.mode", texts["mode"], f"one of {', '.join(Mode)}")
    gates = value["gates"]
    if not isinstance(gates, list) or len(gates) > MOST_GATES:
        wrong(f"{where}.gates", gates, f"a list of at most {MOST_GATES}")
    flags = {name: value[name] for name in ("main", "held_shared", "taken_shared")}
    for name, flag in flags.items():
        if not isinstance(flag, bool):
            wrong(f"{where}.{name}", flag, "true or false")
    return EdgeKey(
        texts["before"],
        texts["after"],
        Mode(texts["mode"]),
        tuple(as_text(gate, f"{where}.gates") for gate in gates),
        bool(flags["main"]),
        bool(flags["held_shared"]),
        bool(flags["taken_shared"]),
    )


def _edge(value: object, where: str) -> Edge:
    fields = Fields(value, where, Edge)
    return Edge(
        key=_edge_key(fields.values["key"], fields.path("key")),
        threads=fields.rows("threads", as_text, MOST_NAMES),
        held_at=fields.text("held_at"),
        taken_at=fields.text("taken_at"),
        count=fields.whole("count"),
        sources=fields.rows("sources", as_text, MOST_NAMES),
    )


def _link(value: object, where: str) -> Link:
    fields = Fields(value, where, Link)
    return Link(
        thread=fields.text("thread"),
        held=fields.text("held"),
        held_at=fields.text("held_at"),
        wanted=fields.text("wanted"),
        wanted_at=fields.text("wanted_at"),
    )


def _cycle(value: object, where: str, keys: list[EdgeKey]) -> Cycle:
    fields = Fields(value, where, Cycle)
    numbers = fields.rows("edges", as_whole, MOST_LENGTH)
    if not numbers or any(number >= len(keys) for number in numbers):
        wrong(f"{where}.edges", list(numbers), "numbers of edges in this file")
    edges = tuple(keys[number] for number in numbers)
    if any(edge.after != edges[(at + 1) % len(edges)].before for at, edge in enumerate(edges)):
        wrong(f"{where}.edges", list(numbers), "a circle of edges")
    verdict = fields.text("verdict")
    if verdict not in {POTENTIAL, SILENT}:
        wrong(f"{where}.verdict", verdict, f"{POTENTIAL} or {SILENT}")
    return Cycle(
        edges=edges,
        verdict=verdict,
        reason=fields.text("reason"),
        detail=fields.text("detail"),
        links=fields.rows("links", _link, MOST_LENGTH),
        objects=fields.flag("objects"),
        count=fields.whole("count"),
    )


def _wait(value: object, where: str) -> Wait:
    fields = Fields(value, where, Wait)
    return Wait(
        held=fields.text("held"),
        condition=fields.text("condition"),
        site=fields.text("site"),
        thread=fields.text("thread"),
        count=fields.whole("count"),
    )


def _notified(value: object, where: str) -> Notified:
    fields = Fields(value, where, Notified)
    return Notified(
        condition=fields.text("condition"),
        held=fields.rows("held", as_text, MOST_GATES),
        count=fields.whole("count"),
    )


def _outcome(value: object, where: str) -> Outcome:
    fields = Fields(value, where, Outcome)
    status = fields.text("status")
    if status not in set(Status):
        wrong(f"{where}.status", status, f"one of {', '.join(Status)}")
    return Outcome(
        fingerprint=fields.text("fingerprint"),
        status=Status(status),
        runs=fields.whole("runs"),
        target=fields.text("target"),
        token=fields.text("token"),
        note=fields.text("note"),
        scope=fields.text("scope"),
    )
