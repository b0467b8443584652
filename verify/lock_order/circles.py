"""Circles in a directed graph, shortest first.

Promises: each simple circle of at most `longest` nodes comes once, as long as `STEPS` steps suffice; `on_limit` is
called when they do not. Nodes that lie on no circle cost next to nothing.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping

__all__ = ["LONGEST", "circles"]

LONGEST: Final = 8
STEPS: Final = 100_000

N = TypeVar("N", bound="Hashable")


def circles(
    arcs: Iterable[tuple[N, N]], on_limit: Callable[[], None], longest: int = LONGEST
) -> Iterator[tuple[N, ...]]:
    """Yield each circle as its nodes in order, begun at the one that came first in `arcs`; no arc to itself."""
    after = _trimmed(arcs)
    rank = {node: at for at, node in enumerate(after)}
    paths: deque[tuple[N, ...]] = deque((node,) for node in after)
    steps = 0
    while paths:
        path = paths.popleft()
        for node in after[path[-1]]:
            steps += 1
            if steps > STEPS:
                on_limit()
                return
            if node == path[0]:
                yield path
            elif len(path) < longest and rank[node] > rank[path[0]] and node not in path:
                paths.append((*path, node))


def _trimmed(arcs: Iterable[tuple[N, N]]) -> Mapping[N, list[N]]:
    """Return who comes after whom, without the nodes at which a circle cannot pass."""
    kept = list(dict.fromkeys(arc for arc in arcs if arc[0] != arc[1]))
    while True:
        passable = {before for before, _ in kept} & {after for _, after in kept}
        fewer = [arc for arc in kept if arc[0] in passable and arc[1] in passable]
        if len(fewer) == len(kept):
            break
        kept = fewer
    out: dict[N, list[N]] = {before: [] for before, _ in kept}
    for before, after in kept:
        out[before].append(after)
    return out
