"""Graphs put together, from other runs, tests, processes and days; and the cycles that only appear then.

Promises: what one run judged stands: it knew its locks, its threads and their order. A cycle whose edges no run made
together is judged by classes: silent where all its edges are the main thread's, where a class of which no run had more
than one lock is held at two of them, or where a lock is only tried; else potential. Merging is the same in any order,
but for which of many examples are kept.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Final, TypeVar

from traces.lock_order import (
    MOST_CLASSES,
    MOST_CYCLES,
    MOST_EDGES,
    MOST_NAMES,
    MOST_NOTES,
    POTENTIAL,
    Cycle,
    Edge,
    Graph,
    LockClass,
    Notified,
    Outcome,
    Status,
    Wait,
    fingerprint,
)
from verify.lock_order.judge import MODE_REASONS, class_ways, link_of

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from traces.lock_order import EdgeKey

__all__ = ["across", "merged", "with_outcome"]

MOST_WAYS: Final = 256
OTHERS: Final = "others"
"""Stands for the sources for which there is no room."""
FULL: Final = "more {} than a file holds: some are missing"
LEFT_OUT: Final = "more circles of classes than can be looked at: some are missing"

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")


def merged(graphs: Iterable[Graph]) -> Graph:
    """Return one graph of all."""
    out = Graph()
    for graph in graphs:
        out = _two(out, graph)
    return out


def _two(one: Graph, other: Graph) -> Graph:
    notes: list[str] = [*one.notes, *other.notes]
    waits = _joined(one.waits, other.waits, _wait, MOST_CYCLES, "waits", notes)
    notified = _joined(one.notified, other.notified, _notified, MOST_CYCLES, "waits", notes)
    outcomes = _joined(one.outcomes, other.outcomes, _outcome, MOST_CYCLES, "outcomes", notes)
    classes = _joined(one.classes, other.classes, _class, MOST_CLASSES, "classes", notes)
    edges = _joined(one.edges, other.edges, _edge, MOST_EDGES, "edges", notes)
    edges = {
        key: edge
        for key, edge in edges.items()
        if all(name in classes for name in (key.before, key.after, *key.gates))
    }
    cycles = _joined(one.cycles, other.cycles, _cycle, MOST_CYCLES, "cycles", notes)
    cycles = {row: each for row, each in cycles.items() if all(key in edges for key in row)}
    return Graph(
        runs=one.runs + other.runs,
        classes=classes,
        edges=edges,
        cycles=cycles,
        waits={key: wait for key, wait in waits.items() if wait.held in classes},
        notified=notified,
        outcomes=outcomes,
        notes=tuple(dict.fromkeys(notes))[:MOST_NOTES],
    )


def _joined(  # noqa: PLR0917 - two tables, and what to do with them
    one: Mapping[K, V],
    other: Mapping[K, V],
    both: Callable[[V, V], V],
    most: int,
    what: str,
    notes: list[str],
) -> dict[K, V]:
    out = dict(one)
    for key, value in other.items():
        if key in out:
            out[key] = both(out[key], value)
        elif len(out) < most:
            out[key] = value
        else:
            notes.append(FULL.format(what))
    return out


def _class(one: LockClass, other: LockClass) -> LockClass:
    return replace(other, most=max(one.most, other.most), handed=one.handed or other.handed)


def _edge(one: Edge, other: Edge) -> Edge:
    threads = tuple(dict.fromkeys((*one.threads, *other.threads)))[:MOST_NAMES]
    sources = tuple(dict.fromkeys((*one.sources, *other.sources)))
    if len(sources) > MOST_NAMES:
        sources = (*sources[: MOST_NAMES - 1], OTHERS)
    return replace(one, threads=threads, count=one.count + other.count, sources=sources)


def _cycle(one: Cycle, other: Cycle) -> Cycle:
    kept = other if other.verdict == POTENTIAL != one.verdict else one
    if one.verdict == other.verdict and other.objects and not one.objects:
        kept = other
    return replace(kept, count=one.count + other.count)


def _wait(one: Wait, other: Wait) -> Wait:
    return replace(one, count=one.count + other.count)


def _notified(one: Notified, other: Notified) -> Notified:
    held = tuple(name for name in one.held if name in other.held)
    return replace(one, held=held, count=one.count + other.count)


def _outcome(one: Outcome, other: Outcome) -> Outcome:
    rank = {Status.CONFIRMED: 2, Status.EXCLUDED: 1, Status.NOT_REACHED: 0}
    if one.status is other.status is Status.NOT_REACHED and one.target == other.target:
        return replace(other, runs=one.runs + other.runs)
    return one if rank[one.status] > rank[other.status] else other


def with_outcome(graph: Graph, outcome: Outcome) -> Graph:
    """Return the graph with what a directed search came to; a later one replaces an earlier."""
    return replace(graph, outcomes={**graph.outcomes, outcome.fingerprint: outcome})


def across(graph: Graph) -> list[Cycle]:
    """Return the potential cycles that no single run could judge: their edges were made in different runs."""
    known = {
        fingerprint(each.classes) for each in graph.cycles.values() if each.verdict == POTENTIAL
    }
    out: dict[str, Cycle] = {}
    for row in class_ways(graph.edges, lambda: None, MOST_WAYS):
        name = fingerprint(key.before for key in row)
        if row in graph.cycles or name in known or name in out or _why_not(graph, row):
            continue
        links = tuple(link_of(graph.edges[key]) for key in row)
        detail = "its parts were seen in different runs, so nothing is known of their order"
        out[name] = Cycle(row, POTENTIAL, "different runs", detail, links, False, 1)
    return list(out.values())


def _why_not(graph: Graph, row: Sequence[EdgeKey]) -> str:
    for key in row:
        if key.mode in MODE_REASONS or graph.classes[key.before].handed:
            return "an acquisition that does not wait, or a signal"
    if all(key.main for key in row):
        return "one thread"
    for key, after in zip(row, (*row[1:], row[0]), strict=True):
        if key.taken_shared and after.held_shared:
            return "read locks"
    for one, other in combinations(row, 2):
        common = {one.before, *one.gates} & {other.before, *other.gates}
        if any(graph.classes[name].most <= 1 for name in common):
            return "gate"
    return ""
