"""The cycles of one run, each with its verdict: a deadlock that another schedule could reach, or why there is none.

Promises: a cycle is potential exactly where every thread's part in it could stand at its last acquisition at the same
time as far as locks, starts and joins decide it: different threads, nothing held in common, no part over before
another one begins, and every acquisition waits without end. That is the rule of iGoodLock (Joshi, Park, Sen, Naik, PLDI
2009) with the order by start and join of Goodlock's successors (Agarwal, Wang, Stoller, 2005). A cycle that fails it
is kept with the first reason it fails for.
Assumes that the run's data do not decide: a flag, a queue or an event between the parts can make a potential cycle
impossible, which the directed search (`confirm`) has to show.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations, islice, product
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from traces.lock_order import (
    MOST_GATES,
    POTENTIAL,
    SILENT,
    Cycle,
    Edge,
    EdgeKey,
    Graph,
    Link,
    Mode,
    Notified,
    Wait,
    canonical,
)
from verify.lock_order.circles import circles
from verify.lock_order.classes import DECLARED

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from traces.lock_order import LockClass
    from verify.lock_order.trails import Dependency, Hold, Run

    Key = Hashable

__all__ = ["MODE_REASONS", "Names", "judge"]

MOST_WAYS: Final = 64
"""Of a silent cycle so many combinations of edges are kept."""
MOST_PARTS: Final = 256
"""Parts looked at for one arc between two locks."""
CIRCLES_LEFT_OUT: Final = "more circles of locks than can be looked at: some are missing"

MODE_REASONS: Final = {
    Mode.AGAIN: ("re-entrant", "a thread takes a lock again that it holds already"),
    Mode.TRIES: ("try-lock", "an acquisition is only tried: it does not wait"),
    Mode.GIVES_UP: ("time-out", "an acquisition gives up after its time-out"),
    Mode.IN_ORDER: ("keys", "locks of one class are taken in the order of their keys"),
}


class Names(Protocol):
    """What the source of a run knows of its locks, conditions and places."""

    def lock(self, key: Key) -> LockClass:
        """Return the class of a lock; `most` and `handed` are the judge's to fill in."""
        ...

    def condition(self, key: Key) -> str:
        """Return what a condition is called."""
        ...

    def site(self, site: object) -> str:
        """Return a place as `file:line function`."""
        ...


class Part(NamedTuple):
    """One thread's part in a circle: the acquisition, and which of the locks held then is the circle's."""

    dependency: Dependency
    hold: Hold


class _Judge:
    def __init__(self, run: Run, names: Names, source: str) -> None:
        self.run = run
        self.sources = (source,) if source else ()
        self.names = names
        self.known: dict[Key, LockClass] = {}
        self.edges: dict[EdgeKey, Edge] = {}
        self.arcs: dict[tuple[Key, Key], list[Part]] = {}
        self.cycles: dict[tuple[EdgeKey, ...], Cycle] = {}

    def graph(self) -> Graph:
        """Return all of it."""
        for dependency in self.run.dependencies():
            self._take_in(dependency)
        for locks in circles(self.arcs, self._limit):
            self._circle(locks)
        self._by_class()
        waits, notified = self._waits(), self._notified()
        return Graph(
            runs=1,
            classes=self._classes(),
            edges=self.edges,
            cycles=self.cycles,
            waits=waits,
            notified=notified,
            notes=tuple(sorted(self.run.notes)),
        )

    def _limit(self) -> None:
        self.run.notes.add(CIRCLES_LEFT_OUT)

    def _class(self, key: Key) -> LockClass:
        known = self.known.get(key)
        if known is None:
            known = self.known[key] = self.names.lock(key)
        return known

    def _classes(self) -> dict[str, LockClass]:
        locks: dict[str, set[Key]] = {}
        handed = {self._class(key).id for key in self.run.handed}
        keys = set(self.known)
        for trail in self.run.trails:
            keys |= trail.seen.copy()  # in one go: on real threads its owner may still add to it
        for key in keys:
            locks.setdefault(self._class(key).id, set()).add(key)
        return {
            each.id: replace(each, most=len(locks[each.id]), handed=each.id in handed)
            for each in self.known.values()
        }

    # --- edges

    def _take_in(self, dependency: Dependency) -> None:
        for hold in dependency.held:
            if hold.lock == dependency.lock:
                continue
            key = self._edge_key(dependency, hold)
            part = Part(dependency, hold)
            parts = self.arcs.setdefault((hold.lock, dependency.lock), [])
            if len(parts) < MOST_PARTS:
                parts.append(part)
            known = self.edges.get(key)
            if known is None:
                site = self.names.site
                self.edges[key] = Edge(
                    key,
                    (dependency.trail.title,),
                    site(hold.site),
                    site(dependency.site),
                    1,
                    self.sources,
                )
            else:
                threads = tuple(dict.fromkeys((*known.threads, dependency.trail.title)))[:16]
                self.edges[key] = replace(known, threads=threads, count=known.count + 1)

    def _edge_key(self, dependency: Dependency, hold: Hold) -> EdgeKey:
        before, after = self._class(hold.lock).id, self._class(dependency.lock).id
        gates = {
            self._class(each.lock).id
            for each in dependency.held
            if each.lock not in {hold.lock, dependency.lock} and not each.shared
        }
        mode = dependency.mode
        if before == after and mode is Mode.WAITS:
            mode = in_order(hold.order, dependency.order)
        return EdgeKey(
            before,
            after,
            mode,
            tuple(sorted(gates)[:MOST_GATES]),
            dependency.trail.main,
            hold.shared,
            dependency.shared,
        )

    # --- circles of locks

    def _circle(self, locks: tuple[Key, ...]) -> None:
        ways = [self.arcs[lock, locks[(at + 1) % len(locks)]] for at, lock in enumerate(locks)]
        found = self._possible(ways, [])
        if found is not None:
            self._keep(found, POTENTIAL, "", "")
            return
        for parts in islice(product(*ways), MOST_WAYS):
            reason, detail = self._why_not(parts)
            self._keep(parts, SILENT, reason, detail)

    def _possible(self, ways: Sequence[list[Part]], chosen: list[Part]) -> list[Part] | None:
        """Return one part for each arc such that all could stand there together, or None."""
        if len(chosen) == len(ways):
            return None if self._why_not(chosen)[0] else list(chosen)
        for part in ways[len(chosen)]:
            if self._alone(part) or any(self._apart(part, other)[0] for other in chosen):
                continue
            found = self._possible(ways, [*chosen, part])
            if found is not None:
                return found
        return None

    def _why_not(self, parts: Sequence[Part]) -> tuple[str, str]:
        """Return the reason for which these parts make no deadlock, as a word and a sentence; ("", "") if they do."""
        for part in parts:
            why = self._alone(part)
            if why is not None:
                return why
        for part, after in zip(parts, (*parts[1:], parts[0]), strict=True):
            if part.dependency.shared and after.hold.shared:
                name = self._class(part.dependency.lock).name
                return (
                    "read locks",
                    f"{name or 'a lock'} is held and taken for reading, which go together",
                )
        for one, other in combinations(parts, 2):
            why = self._apart(one, other)
            if why[0]:
                return why
        return "", ""

    def _alone(self, part: Part) -> tuple[str, str] | None:
        if part.dependency.lock in self.run.handed or part.hold.lock in self.run.handed:
            return (
                "signal",
                "a lock of the circle is given back by another thread: it is a signal, no mutex",
            )
        return MODE_REASONS.get(part.dependency.mode)

    def _apart(self, one: Part, other: Part) -> tuple[str, str]:
        first, second = one.dependency, other.dependency
        if first.trail is second.trail:
            return "one thread", f"{first.trail.title} alone does both, one after the other"
        gate = _gate(first, second)
        if gate is not None:
            name = self._class(gate.lock).name or "one lock"
            return (
                "gate",
                f"{first.trail.title} and {second.trail.title} both hold {name} meanwhile",
            )
        for earlier, later in ((first, second), (second, first)):
            if is_before(earlier, later):
                return "ordered", (
                    f"{earlier.trail.title} is done with its part before {later.trail.title} begins, "
                    "by a start or a join"
                )
        return "", ""

    def _keep(self, parts: Sequence[Part], verdict: str, reason: str, detail: str) -> None:
        edges = [self._edge_key(*part) for part in parts]
        row = canonical(edges)
        known = self.cycles.get(row)
        if known is not None and (known.verdict == POTENTIAL or verdict == SILENT):
            self.cycles[row] = replace(known, count=known.count + 1)
            return
        links = tuple(self._link(part) for part in parts)
        at = next(at for at in range(len(edges)) if tuple(edges[at:] + edges[:at]) == row)
        links = links[at:] + links[:at]
        count = 1 if known is None else known.count + 1
        self.cycles[row] = Cycle(row, verdict, reason, detail, links, True, count)

    def _link(self, part: Part) -> Link:
        dependency, hold = part
        site = self.names.site
        return Link(
            dependency.trail.title,
            self._class(hold.lock).id,
            site(hold.site),
            self._class(dependency.lock).id,
            site(dependency.site),
        )

    # --- circles of classes

    def _by_class(self) -> None:
        """Keep the circles of classes that no circle of locks closed in this run: the locks were others."""
        for row in class_ways(self.edges, self._limit, MOST_WAYS):
            if row not in self.cycles:
                links = tuple(link_of(self.edges[key]) for key in row)
                detail = (
                    "no locks of these classes close the circle: they were taken on other objects"
                )
                self.cycles[row] = Cycle(row, SILENT, "other objects", detail, links, False, 1)

    # --- conditions

    def _waits(self) -> dict[tuple[str, str], Wait]:
        out: dict[tuple[str, str], Wait] = {}
        for waiting in (each for trail in self.run.trails for each in trail.waits.values()):
            title, site = self.names.condition(waiting.condition), self.names.site(waiting.site)
            for hold in waiting.held:
                held = self._class(hold.lock)
                if held.kind == DECLARED:
                    continue  # it waits for that one: its own condition is what it waits on
                known = out.get((held.id, title))
                count = 1 if known is None else known.count + 1
                out[held.id, title] = Wait(held.id, title, site, waiting.trail.title, count)
        return out

    def _notified(self) -> dict[str, Notified]:
        out: dict[str, Notified] = {}
        for condition, locks in self.run.notified().items():
            title = self.names.condition(condition)
            held = {self._class(lock).id for lock in locks}
            known = out.get(title)
            held &= set(known.held) if known is not None else held
            count = 1 if known is None else known.count + 1
            out[title] = Notified(title, tuple(sorted(held)[:MOST_GATES]), count)
        return out


def in_order(held: object, taken: object) -> Mode:
    """Return how a lock is taken while one of its class is held, by their order keys: rising ones are in order."""
    if held is None or taken is None:
        return Mode.WAITS
    try:
        rising = bool(held < taken)  # type: ignore[operator] # what has no order is in none
    except TypeError:
        rising = False
    return Mode.IN_ORDER if rising else Mode.AGAINST_ORDER


def is_before(one: Dependency, other: Dependency) -> bool:
    """Say whether `one` happens before `other` in every schedule, by starts and joins."""
    number = one.trail.number
    return other.clock.get(number, 0) >= one.clock[number]


def _gate(one: Dependency, other: Dependency) -> Hold | None:
    """Return a lock that both hold, not both for reading."""
    theirs = {each.lock: each for each in other.held}
    return next(
        (
            each
            for each in one.held
            if each.lock in theirs and not (each.shared and theirs[each.lock].shared)
        ),
        None,
    )


def class_ways(
    edges: Iterable[EdgeKey], on_limit: Callable[[], None], most: int
) -> Iterator[tuple[EdgeKey, ...]]:
    """Yield for each circle of classes its ways: one edge for each arc, at most `most` of them."""
    by_arc: dict[tuple[str, str], list[EdgeKey]] = {}
    for key in edges:
        by_arc.setdefault((key.before, key.after), []).append(key)

    for row in circles(by_arc, on_limit):
        arcs = [by_arc[name, row[(at + 1) % len(row)]] for at, name in enumerate(row)]
        for way in islice(product(*arcs), most):
            yield canonical(way)


def link_of(edge: Edge) -> Link:
    """Return an edge as one thread's part."""
    return Link(
        edge.threads[0] if edge.threads else "",
        edge.key.before,
        edge.held_at,
        edge.key.after,
        edge.taken_at,
    )


def judge(run: Run, names: Names, source: str = "") -> Graph:
    """Return the graph of one run of the program `source`, with its cycles judged."""
    return _Judge(run, names, source).graph()
