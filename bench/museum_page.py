"""The kill matrix as a page and a picture: values in, text out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

from bench.museum_cells import COLUMNS, HEALTHY, REPLAYS, Cell
from stress.migration import defects
from stress.migration.defects.absent import ABSENT

if TYPE_CHECKING:
    from collections.abc import Iterator

Matrix = Mapping[str, Mapping[str, Cell]]
"""Cells by defect and column."""
WAYS: Final = tuple(column for column in COLUMNS if column != HEALTHY)
CELL: Final = 18
STYLE: Final = (
    'role="img" aria-label="kill matrix" font-family="system-ui,sans-serif" font-size="11"'
)
LEFT: Final = 64
TOP: Final = 92
FOUND_SHARE: Final = 0.95
CLASS_SHARE: Final = 0.9
PALETTE: Final = ("#08519c", "#2f7fbc", "#6baed6", "#9ecae1", "#c6dbef")
"""Found by execution 1, up to 10, 100, 1,000, later."""

INTRODUCTION: Final = (
    "Historic bugs of live migration, seeded into the engine one at a time, and what finds them. This page is drawn",
    "from the data of `python -m bench.museum`; do not edit it. `stage3 museum show ID` walks through one: story,",
    "failing interleaving, explanation, fix, and the same choices on the whole engine.",
    "",
)
LEGEND: Final = (
    "found in the time; `*`: found as another class than the defect's; empty: not run. Under *lock order* and *race*",
    "only that detector's findings count, under random schedules; on *real threads* it counts runs. *Properties*",
    "are the engine's own tests that draw their data by Hypothesis, run as a whole with the defect in the engine; a",
    "defect that is a design of its own cannot be put under them.",
)


@dataclass(frozen=True)
class Totals:
    """What the matrix comes to."""

    defects: int
    found: Mapping[str, tuple[int, int]]
    """Of each column: found, filled."""
    right: int
    portfolio: int
    identical: int
    replayed: int
    alarms: int
    healthy: int

    @classmethod
    def of(cls, matrix: Matrix) -> Totals:
        """Count."""
        cells = {
            way: [row[way] for row in matrix.values() if way in row and row[way].executions]
            for way in COLUMNS
        }
        portfolio = [cell for cell in cells["portfolio"] if cell.found]
        replayed = [cell for cell in portfolio if cell.replays >= 0]
        return cls(
            len(matrix),
            {way: (sum(cell.found for cell in cells[way]), len(cells[way])) for way in WAYS},
            sum(cell.right for cell in portfolio),
            len(portfolio),
            sum(cell.replays == REPLAYS for cell in replayed),
            len(replayed),
            sum(cell.found for cell in cells[HEALTHY]),
            sum(cell.executions for cell in cells[HEALTHY]),
        )

    @property
    def as_promised(self) -> bool:
        """Whether the aims are met."""
        found, filled = self.found["portfolio"]
        return (
            found >= FOUND_SHARE * filled
            and self.right >= CLASS_SHARE * self.portfolio
            and self.identical == self.replayed
            and not self.alarms
        )

    def lines(self) -> Iterator[str]:
        """Say it."""
        yield f"{self.defects} defects"
        for way, (found, filled) in self.found.items():
            if filled:
                yield f"{way:14}{found:4} of {filled} found"
        yield f"class right in {self.right} of the {self.portfolio} that the portfolio found"
        yield f"{self.identical} of {self.replayed} finds replayed {REPLAYS} times, each identical"
        yield f"{self.alarms} false alarms in {self.healthy:,} executions of the whole engine"


def _short(cell: Cell | None) -> str:
    if cell is None or not cell.executions:
        return ""
    if not cell.found:
        return "-"
    return f"{cell.first:,}{'' if cell.right else '*'}"


def markdown(matrix: Matrix, seconds: float) -> str:
    """The page."""
    totals = Totals.of(matrix)
    heads = ("id", *WAYS)
    lines = [
        "# The museum",
        "",
        *INTRODUCTION,
        f"{seconds:g} s a cell, seed 0, the same settings for all. A number: the execution of the first find; `-`: not",
        *LEGEND,
        "",
        "![heat map: defects down, ways across, the darker the earlier found](museum.svg)",
        "",
        *(f"- {line}" for line in totals.lines()),
        "",
        "| " + " | ".join(heads) + " |",
        "|" + "---|" * len(heads),
    ]
    for name, row in matrix.items():
        lines.append("| " + " | ".join((name, *(_short(row.get(way)) for way in WAYS))) + " |")
    lines += [
        "",
        "## What they are",
        "",
        "| ids | defect | upstream | cause class | scenario |",
        "|---|---|---|---|---|",
    ]
    for defect in defects.load().values():
        cause = (
            defect.cause
            if defect.cause != "broken invariant"
            else f"broken invariant: {defect.word}"
        )
        upstream = defect.part("Upstream").replace("|", "/")
        lines.append(
            f"| {', '.join(defect.ids)} | {defect.title} | {upstream} | {cause} | `{defect.scenario}` |"
        )
    never = [
        name
        for name, row in matrix.items()
        if row and not any(row[way].found for way in WAYS if way in row)
    ]
    lines += [
        "",
        "## What nothing finds",
        "",
        ", ".join(never) or "Every defect is found by at least one way.",
        "",
    ]
    lines += ["## What is not in it, and why", "", "| ids | reason |", "|---|---|"]
    reasons: dict[str, list[str]] = {}
    for name, reason in ABSENT.items():
        reasons.setdefault(reason, []).append(name)
    lines += [f"| {', '.join(names)} | {reason} |" for reason, names in reasons.items()]
    return "\n".join(lines) + "\n"


def heat_map(matrix: Matrix) -> str:
    """The picture: SVG."""
    width = LEFT + CELL * len(WAYS) + 150
    height = TOP + CELL * len(matrix) + 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {STYLE}>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for at, way in enumerate(WAYS):
        x = LEFT + CELL * at + 13
        parts.append(f'<text transform="translate({x} {TOP - 6}) rotate(-60)">{escape(way)}</text>')
    for down, (name, row) in enumerate(matrix.items()):
        y = TOP + CELL * down
        parts.append(f'<text x="{LEFT - 6}" y="{y + 13}" text-anchor="end">{escape(name)}</text>')
        for at, way in enumerate(WAYS):
            parts.append(_square(LEFT + CELL * at, y, row.get(way), f"{name}, {way}"))
    parts += _legend(LEFT + CELL * len(WAYS) + 16)
    return "".join(parts) + "</svg>\n"


def _square(x: int, y: int, cell: Cell | None, what: str) -> str:
    if cell is None or not cell.executions:
        return ""
    fill, stroke = "#f2f2f2", "#ddd"
    if cell.found:
        fill = PALETTE[min(len(PALETTE) - 1, math.ceil(math.log10(max(1, cell.first))))]
        stroke = "#ddd" if cell.right else "#d95f02"
    said = escape(f"{what}: {_short(cell)}")
    return (
        f'<rect x="{x + 1}" y="{y + 1}" width="{CELL - 3}" height="{CELL - 3}" fill="{fill}" '
        f'stroke="{stroke}" stroke-width="{1 if stroke == "#ddd" else 2}"><title>{said}</title></rect>'
    )


def _legend(x: int) -> Iterator[str]:
    words = ("execution 1", "up to 10", "up to 100", "up to 1,000", "later")
    for at, (color, word) in enumerate(
        [*zip(PALETTE, words, strict=True), ("#f2f2f2", "not found")]
    ):
        y = TOP + CELL * at
        yield f'<rect x="{x}" y="{y + 1}" width="{CELL - 3}" height="{CELL - 3}" fill="{color}" stroke="#ddd"/>'
        yield f'<text x="{x + CELL + 2}" y="{y + 13}">{word}</text>'
    y = TOP + CELL * (len(words) + 1)
    size = f'width="{CELL - 3}" height="{CELL - 3}"'
    yield f'<rect x="{x}" y="{y + 1}" {size} fill="none" stroke="#d95f02" stroke-width="2"/>'
    yield f'<text x="{x + CELL + 2}" y="{y + 13}">another class</text>'
