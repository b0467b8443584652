"""The graph as a picture: DOT, and SVG by Graphviz where it is installed, else by a layout of our own.

Promises: the same text for the same graph; names of locks are escaped, whatever they are. Edges of a finding are drawn
thick and red, those that cannot be part of a deadlock dashed.
Does not: look good with more than a few dozen locks; a graph is cut down to the locks that are taken under others.
"""

from __future__ import annotations

import math
import shutil
import subprocess
from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple

from traces.lock_order import Mode
from verify.lock_order.findings import names_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from traces.lock_order import Graph
    from verify.lock_order.findings import Found

__all__ = ["dot", "svg"]

GRAPHVIZ_S: Final = 30
RED: Final = "#c62828"
GREY: Final = "#607d8b"
INK: Final = "#263238"
NODE_HEIGHT: Final = 34
LETTER: Final = 7.4
FONT: Final = "font-family='monospace' font-size='12'"


class _Arc(NamedTuple):
    before: str
    after: str
    label: str
    red: bool
    dashed: bool


def _arcs(graph: Graph, found: Sequence[Found]) -> list[_Arc]:
    hot = {(link.held, link.wanted) for each in found for link in each.links if each.counts}
    labels: dict[tuple[str, str], list[str]] = {}
    waits: set[tuple[str, str]] = set()
    for key, edge in sorted(graph.edges.items()):
        arc = (key.before, key.after)
        labels.setdefault(arc, []).extend(edge.threads)
        if key.mode in {Mode.WAITS, Mode.IN_ORDER, Mode.AGAINST_ORDER}:
            waits.add(arc)
    return [
        _Arc(*arc, _few(names), arc in hot, arc not in waits)
        for arc, names in sorted(labels.items())
    ]


def _few(names: list[str]) -> str:
    once = list(dict.fromkeys(names))
    return ", ".join(once[:2]) + (", ..." if len(once) > 2 else "")


def dot(graph: Graph, found: Sequence[Found]) -> str:
    """Return the graph in Graphviz' language."""
    called, arcs = names_of(graph), _arcs(graph, found)
    lines = ["digraph lock_order {", '  node [shape=box, fontname="monospace"];']
    numbers = _numbers(arcs)
    for key, number in numbers.items():
        lines.append(f"  n{number} [label={_quoted(called[key])}];")
    for arc in arcs:
        colour = f', color="{RED}", penwidth=2' if arc.red else ""
        style = ", style=dashed" if arc.dashed else ""
        lines.append(
            f"  n{numbers[arc.before]} -> n{numbers[arc.after]} [label={_quoted(arc.label)}{colour}{style}];"
        )
    return "\n".join([*lines, "}", ""])


def _numbers(arcs: Sequence[_Arc]) -> dict[str, int]:
    names = sorted({name for arc in arcs for name in (arc.before, arc.after)})
    return {name: at for at, name in enumerate(names)}


def _quoted(text: str) -> str:
    printable = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return '"' + printable.replace("\\", "\\\\").replace('"', '\\"') + '"'


def svg(graph: Graph, found: Sequence[Found], *, graphviz: bool = True) -> str:
    """Return the graph as SVG; `graphviz`: let `dot` lay it out where it is on the path."""
    program = shutil.which("dot") if graphviz else None
    if program is not None:
        try:
            done = subprocess.run(
                [program, "-Tsvg"], input=dot(graph, found), capture_output=True, text=True, check=True,
                timeout=GRAPHVIZ_S,
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError):
            return _own_svg(names_of(graph), _arcs(graph, found))
        return done.stdout
    return _own_svg(names_of(graph), _arcs(graph, found))


class _Box(NamedTuple):
    x: float
    y: float
    width: float


def _own_svg(called: Mapping[str, str], arcs: Sequence[_Arc]) -> str:
    """Lay the locks out on a circle, which shows every arc whatever the cycles."""
    names = list(_numbers(arcs))
    widest = max((len(_cut(called[name])) for name in names), default=1) * LETTER + 20
    around = len(names) * max(
        widest + 24, 240
    )  # so that neighbours do not overlap, wherever they are
    radius = max(110.0, around / (2 * math.pi)) if len(names) > 1 else 0.0
    middle_x, middle_y = radius + widest / 2 + 30, radius + 60
    boxes = {}
    for at, name in enumerate(names):
        turn = 2 * math.pi * at / len(names) - math.pi / 2
        width = len(_cut(called[name])) * LETTER + 20
        boxes[name] = _Box(
            middle_x + radius * math.cos(turn), middle_y + radius * math.sin(turn), width
        )
    body = [_drawn(arc, boxes) for arc in arcs]
    body += [_node(boxes[name], called[name]) for name in names]
    width, height = 2 * middle_x, 2 * middle_y
    markers = "".join(
        f"<marker id='{name}' viewBox='0 0 8 8' refX='8' refY='4' markerWidth='8' markerHeight='8' orient='auto'>"
        f"<path d='M0 0 8 4 0 8z' fill='{colour}'/></marker>"
        for name, colour in (("red", RED), ("grey", GREY))
    )
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='{width:.0f}' height='{height:.0f}' "
        f"viewBox='0 0 {width:.0f} {height:.0f}'>\n<defs>{markers}</defs>\n"
        f"<rect width='100%' height='100%' fill='white'/>\n{chr(10).join(body)}\n</svg>\n"
    )


def _cut(text: str) -> str:
    return text if len(text) <= 40 else f"{text[:38]}.."


def _node(box: _Box, title: str) -> str:
    x, y = box.x - box.width / 2, box.y - NODE_HEIGHT / 2
    text = escape("".join(c if c.isprintable() else "?" for c in title))
    short = escape("".join(c if c.isprintable() else "?" for c in _cut(title)))
    return (
        f"<g><title>{text}</title><rect x='{x:.1f}' y='{y:.1f}' width='{box.width:.1f}' height='{NODE_HEIGHT}' rx='4' "
        f"fill='#eceff1' stroke='{INK}'/><text x='{box.x:.1f}' y='{box.y + 4:.1f}' text-anchor='middle' {FONT}>"
        f"{short}</text></g>"
    )


def _drawn(arc: _Arc, boxes: Mapping[str, _Box]) -> str:
    """Return one arc: from border to border, bent to the right, so that both ways between two locks are seen."""
    one, other = boxes[arc.before], boxes[arc.after]
    marker, colour = ("red", RED) if arc.red else ("grey", GREY)
    style = (
        f"fill='none' stroke='{colour}' stroke-width='{2 if arc.red else 1.2}' marker-end='url(#{marker})'"
        + (" stroke-dasharray='5 4'" if arc.dashed else "")
    )
    text = escape("".join(c if c.isprintable() else "?" for c in arc.label))
    if one == other:
        x, y, top = one.x, one.y - NODE_HEIGHT / 2, one.y - NODE_HEIGHT / 2 - 42
        path = f"M{x - 16:.1f} {y:.1f} C{x - 40:.1f} {top:.1f} {x + 40:.1f} {top:.1f} {x + 16:.1f} {y:.1f}"
        return f"<g><title>{text}</title><path d='{path}' {style}/></g>"
    dx, dy = other.x - one.x, other.y - one.y
    bend_x, bend_y = (one.x + other.x) / 2 - dy * 0.12, (one.y + other.y) / 2 + dx * 0.12
    x1, y1 = _border(one, bend_x, bend_y)
    x2, y2 = _border(other, bend_x, bend_y)
    path = f"M{x1:.1f} {y1:.1f} Q{bend_x:.1f} {bend_y:.1f} {x2:.1f} {y2:.1f}"
    return f"<g><title>{text}</title><path d='{path}' {style}/></g>"


def _border(box: _Box, x: float, y: float) -> tuple[float, float]:
    """Return where the line from the middle of a box to (x, y) leaves it."""
    dx, dy = x - box.x, y - box.y
    half_w, half_h = box.width / 2 + 1, NODE_HEIGHT / 2 + 1
    reach = min(half_w / abs(dx) if dx else math.inf, half_h / abs(dy) if dy else math.inf, 1.0)
    return box.x + dx * reach, box.y + dy * reach
