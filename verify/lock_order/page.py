"""The lock-order graph as a page of its own: the picture, the findings with their evidence, every edge.

Promises: as for every page of `traces.html`: nothing is asked for, every text is escaped, no script runs. Formatting
only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traces.html.shell import document, text
from traces.printing import counted
from verify.lock_order.findings import Standing, names_of, silent
from verify.lock_order.pictures import svg
from verify.lock_order.text import arcs, part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from traces.lock_order import Graph
    from verify.lock_order.findings import Found

__all__ = ["page"]

MOST_ROWS: Final = 5_000
GOOD: Final = frozenset({Standing.EXCLUDED})


def page(graph: Graph, found: Sequence[Found]) -> str:
    """Return the page of `graph`, whose findings are `found`."""
    called = names_of(graph)
    size = (
        f"{counted(graph.runs, 'run')}: {counted(len(graph.classes), 'kind')} of lock, "
        f"{counted(len(arcs(graph)), 'edge')}, {counted(len(found), 'finding')}"
    )
    picture = svg(graph, found, graphviz=False)
    notes = "".join(f"<p>incomplete: {text(note)}</p>" for note in graph.notes)
    body = (
        f'<header><h1>Lock order</h1><p class="quiet">{size}</p></header>\n<main>{notes}'
        '<section aria-label="Graph"><figure tabindex="0" role="group" aria-label="Graph of locks: an arrow leads '
        "from a lock that is held to one that is taken; what a finding is about is red, dashed is what nobody waits "
        f'for. The table below has every arrow.">{picture}</figure></section>'
        f"<section>{''.join(_findings(graph, found, called))}</section>"
        f"<section><h2>Held and taken</h2>{_edges(graph, called)}</section></main>"
    )
    return document(f"lock order: {_verdict(found)}", body, styles=("order.css",))


def _verdict(found: Sequence[Found]) -> str:
    counting = [each for each in found if each.counts]
    return f"{counting[0].standing}: {counting[0].kind}" if counting else "nothing found"


def _findings(graph: Graph, found: Sequence[Found], called: Mapping[str, str]) -> Iterator[str]:
    for each in found:
        good = " good" if each.standing in GOOD or each.accepted else ""
        head = f"accepted ({each.accepted})" if each.accepted else each.standing.value
        links = "".join(f"<li>{text(part(link, called))}</li>" for link in each.links)
        yield (
            f'<div class="finding"><h3><span class="badge{good}">{text(head)}</span> {text(each.title)}</h3>'
            f"<p>{text(each.text)}</p><ul>{links}</ul>{_replay(each)}</div>"
        )
    for cycle in silent(graph, found):
        row = [called[key] for key in cycle.classes]
        title = " -> ".join([*row, row[0]])
        yield (
            f'<div class="finding"><h3><span class="badge good">no deadlock</span> {text(title)}</h3>'
            f"<p>{text(cycle.reason)}: {text(cycle.detail)}</p></div>"
        )


def _replay(found: Found) -> str:
    outcome = found.outcome
    if outcome is None or not outcome.token:
        return ""
    return f'<p class="mono replay">stage3 replay {text(outcome.target)} {text(outcome.token)}</p>'


def _edges(graph: Graph, called: Mapping[str, str]) -> str:
    rows = sorted(arcs(graph).items(), key=lambda item: (called[item[0][0]], called[item[0][1]]))
    cells = []
    for (before, after), edges in rows[:MOST_ROWS]:
        threads = ", ".join(dict.fromkeys(name for edge in edges for name in edge.threads))
        modes = ", ".join(sorted({edge.key.mode.value for edge in edges}))
        cells.append(
            f'<tr><th scope="row">{text(called[before])}</th><td>{text(called[after])}</td><td>{text(modes)}</td>'
            f"<td>{text(threads)}</td><td>{text(edges[0].held_at)}</td><td>{text(edges[0].taken_at)}</td></tr>\n"
        )
    more = f"<p>and {len(rows) - MOST_ROWS} more</p>" if len(rows) > MOST_ROWS else ""
    names = ("held", "taken", "how", "threads", "held since", "taken at")
    head = "".join(f'<th scope="col">{name}</th>' for name in names)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(cells)}</tbody></table>{more}"
