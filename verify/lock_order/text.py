"""What `stage3 lock-order` prints: formatting only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traces.text import counted, plain
from verify.lock_order.findings import names_of, nestings, silent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from traces.lock_order import Edge, Graph, Link
    from verify.lock_order.findings import Found

__all__ = ["arcs", "lines", "part"]

MOST_EDGES: Final = 40


def lines(graph: Graph, found: Sequence[Found], *, every: bool = False) -> Iterator[str]:
    """Yield the report; `every`: with all edges."""
    called = names_of(graph)
    yield (
        f"lock order of {counted(graph.runs, 'run')}: {counted(len(graph.classes), 'kind')} of lock, "
        f"{counted(len(arcs(graph)), 'edge')}, {counted(len(found), 'finding')}"
    )
    for each in found:
        yield ""
        yield from _finding(each, called)
    quiet = silent(graph, found)
    if quiet:
        yield ""
        yield "no deadlock, though the locks are taken both ways:"
        for cycle in quiet:
            row = [called[key] for key in cycle.classes]
            yield plain(f"  {' -> '.join([*row, row[0]])}: {cycle.reason}: {cycle.detail}")
    yield from _nested(graph, called)
    yield from _edges(graph, called, every=every)
    for note in graph.notes:
        yield f"incomplete: {note}"


def _finding(each: Found, called: Mapping[str, str]) -> Iterator[str]:
    head = each.standing.value if not each.accepted else f"accepted ({each.accepted})"
    yield plain(f"{head}: {each.title}   [{each.fingerprint}]")
    yield plain(f"  {each.text}")
    for link in each.links:
        yield plain(f"  {part(link, called)}")
    if each.outcome is not None and each.outcome.token:
        yield plain(f"  replay: stage3 replay {each.outcome.target} {each.outcome.token}")


def part(link: Link, called: Mapping[str, str]) -> str:
    """Return what a thread holds and takes, in a sentence."""
    taken = f", taken at {link.held_at}," if link.held_at else ""
    held, wanted = called.get(link.held, link.held), called.get(link.wanted, link.wanted)
    return f"{link.thread} holds {held}{taken} and takes {wanted} at {link.wanted_at}"


def _nested(graph: Graph, called: Mapping[str, str]) -> Iterator[str]:
    for name in nestings(graph):
        yield ""
        yield plain(
            f"nested: one {called[name]} is taken under another; verify.lock_order_key says in which order"
        )
    if graph.waits:
        yield ""
        yield "waits for a notification while a lock is held:"
    for wait in graph.waits.values():
        notified = graph.notified.get(wait.condition)
        seen = (
            "no notification was seen" if notified is None else "a notification is made without it"
        )
        if notified is not None and wait.held in notified.held:
            seen = "every notification seen is made with it"
        yield plain(
            f"  {wait.thread} waits for {wait.condition} at {wait.site}, holding {called[wait.held]}: {seen}"
        )


def arcs(graph: Graph) -> dict[tuple[str, str], list[Edge]]:
    """Return the edges by the two locks that they are about."""
    out: dict[tuple[str, str], list[Edge]] = {}
    for key, edge in graph.edges.items():
        out.setdefault((key.before, key.after), []).append(edge)
    return out


def _edges(graph: Graph, called: Mapping[str, str], *, every: bool) -> Iterator[str]:
    found = arcs(graph)
    if not found:
        return
    yield ""
    yield "the graph (held -> taken):"
    shown = sorted(found.items(), key=lambda item: (called[item[0][0]], called[item[0][1]]))
    for (before, after), edges in shown if every else shown[:MOST_EDGES]:
        threads = list(dict.fromkeys(name for edge in edges for name in edge.threads))
        modes = sorted({edge.key.mode.value for edge in edges} - {"waits"})
        how = f" [{', '.join(modes)}]" if modes else ""
        yield plain(
            f"  {called[before]} -> {called[after]}{how}: {', '.join(threads[:4])}"
            f"{', ...' if len(threads) > 4 else ''} at {edges[0].taken_at}"
        )
    if len(shown) > MOST_EDGES and not every:
        yield f"  ... and {len(shown) - MOST_EDGES} more: --all shows them"
