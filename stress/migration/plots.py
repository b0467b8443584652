"""Plots of migrations over time and of hangs over rates: SVG in one self-contained page.

Promises: values in, text out; everything shown is escaped, nothing is loaded from anywhere. In the manner of
QEMU's guestperf: a column of panels over one time axis, the syncs as lines, the time in which the guest
stood still shaded.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final, NamedTuple

from stress.page import document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from stress.migration.campaign import Run
    from stress.migration.series import Sample

WIDTH: Final = 640
HEIGHT: Final = 110
LEFT: Final = 70
MOST_POINTS: Final = 600
MIB: Final = 1 << 20

STYLE: Final = """
body{font:15px/1.4 system-ui,sans-serif;margin:2em auto;max-width:72em;padding:0 1em;color:#222;background:#fff}
table{border-collapse:collapse}td,th{padding:.2em .8em;text-align:right;border-bottom:1px solid #ccc}
td:first-child,th:first-child{text-align:left}figure{margin:1.5em 0}svg{max-width:100%;height:auto}
.line{fill:none;stroke:#1f5fa8;stroke-width:1.5}.still{fill:#d33;opacity:.18}.sync{stroke:#999;stroke-dasharray:2 3}
.axis{stroke:#888}.dot{fill:#1f5fa8}text{font:11px system-ui,sans-serif;fill:#333}.bad{color:#a40000}
@media(prefers-color-scheme:dark){body{color:#ddd;background:#1b1b1b}text{fill:#ccc}.line{stroke:#7db4f0}.dot{fill:#7db4f0}}
"""


class Panel(NamedTuple):
    """One quantity over time."""

    title: str
    unit: str
    value: Callable[[Sample, Sample | None], float]


def _rate(now: Sample, before: Sample | None) -> float:
    if before is None or now.seconds <= before.seconds:
        return 0.0
    return (now.stores - before.stores) / (now.seconds - before.seconds)


PANELS: Final = (
    Panel("transferred", "MiB", lambda now, _: now.transferred / MIB),
    Panel("remaining", "MiB", lambda now, _: now.remaining / MIB),
    Panel("dirtied in the last sync", "pages", lambda now, _: now.syncs[-1] if now.syncs else 0),
    Panel(
        "guest progress",
        "stores/s",
        _rate,
    ),
)


def over_time(samples: Sequence[Sample]) -> str:
    """Return one SVG: a panel for each quantity, syncs and the guest's stop marked."""
    if len(samples) < 2:
        return "<p>too short to plot</p>"
    end = samples[-1].seconds or 1.0
    height = HEIGHT * len(PANELS) + 24
    parts = [
        f'<svg viewBox="0 0 {LEFT + WIDTH + 12} {height}" role="img" aria-label="figures over time">'
    ]
    for number, panel in enumerate(PANELS):
        parts += _panel(panel, samples, end, HEIGHT * number + 16)
    base = height - 6
    parts += [
        f'<text x="{LEFT}" y="{base}">0 s</text>',
        f'<text x="{LEFT + WIDTH}" y="{base}" text-anchor="end">{end:.1f} s</text>',
        "</svg>",
    ]
    return "".join(parts)


def _panel(panel: Panel, samples: Sequence[Sample], end: float, top: int) -> Iterable[str]:
    before: list[Sample | None] = [None, *samples[:-1]]
    values = [panel.value(now, then) for now, then in zip(samples, before, strict=True)]
    most = max([*values, 1.0])
    tall = HEIGHT - 34
    bottom = top + tall

    def x(seconds: float) -> float:
        return round(LEFT + WIDTH * seconds / end, 1)

    still = [sample.seconds for sample in samples if not sample.running]
    if still:
        yield (
            f'<rect class="still" x="{x(still[0])}" y="{top}" '
            f'width="{max(1.0, x(still[-1]) - x(still[0])):.1f}" height="{tall}"/>'
        )
    for now, then in zip(samples, before, strict=True):
        if then is not None and now.syncs != then.syncs:
            at = x(now.seconds)
            yield f'<line class="sync" x1="{at}" x2="{at}" y1="{top}" y2="{bottom}"/>'
    step = max(1, len(samples) // MOST_POINTS)
    points = " ".join(
        f"{x(sample.seconds)},{bottom - tall * value / most:.1f}"
        for sample, value in list(zip(samples, values, strict=True))[::step]
    )
    yield f'<line class="axis" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{bottom}" y2="{bottom}"/>'
    yield f'<polyline class="line" points="{points}"/>'
    yield f'<text x="{LEFT}" y="{top - 4}">{escape(panel.title)} ({escape(panel.unit)})</text>'
    yield f'<text x="{LEFT - 6}" y="{top + 9}" text-anchor="end">{most:,.0f}</text>'
    yield f'<text x="{LEFT - 6}" y="{bottom}" text-anchor="end">0</text>'


def curve(title: str, across: str, points: Sequence[tuple[float, float]]) -> str:
    """Return one SVG: shares (0 to 1) over another quantity, as dots on a line."""
    most = max([x for x, _ in points] or [1.0]) or 1.0
    at = [(LEFT + WIDTH * x / most, 20 + 120 * (1 - y)) for x, y in sorted(points)]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in at)
    dots = "".join(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>' for x, y in at)
    return (
        f'<svg viewBox="0 0 {LEFT + WIDTH + 12} 175" role="img" aria-label="{escape(title)}">'
        f'<line class="axis" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="140" y2="140"/>'
        f'<polyline class="line" points="{line}"/>{dots}'
        f'<text x="{LEFT}" y="12">{escape(title)}</text>'
        f'<text x="{LEFT - 6}" y="26" text-anchor="end">100 %</text>'
        f'<text x="{LEFT - 6}" y="142" text-anchor="end">0</text>'
        f'<text x="{LEFT}" y="156">0</text>'
        f'<text x="{LEFT + WIDTH}" y="156" text-anchor="end">{most:,.0f} {escape(across)}</text></svg>'
    )


HEADS: Final = (
    "job",
    "ended",
    "seconds",
    "downtime ms",
    "sent MiB",
    "to write at the stop MiB",
    "pages compared",
    "differ",
)


def row(run: Run) -> tuple[str, ...]:
    """Return what the table says of one run."""
    figures = run.figures
    seconds, downtime, sent = (
        _number(figures.get(key)) for key in ("total_time", "downtime", "transferred")
    )
    if not figures and run.samples:
        seconds, sent = run.samples[-1].seconds * 1000, float(run.samples[-1].transferred)
    left = run.left
    return (
        run.job.name,
        run.status,
        f"{seconds / 1000:.1f}",
        f"{downtime:.0f}" if run.status == "completed" else "-",
        f"{sent / MIB:,.0f}",
        "-" if left is None else f"{left[1] / MIB:,.0f}",
        f"{run.compared:,}",
        f"{run.differing:,}" if run.compared else "-",
    )


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def page(title: str, runs: Sequence[Run], curves: Sequence[str] = ()) -> str:
    """Return the whole page."""
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row(run)) + "</tr>" for run in runs
    )
    figures = "".join(
        f"<figure><h2>{escape(run.job.name)}: {escape(run.status)}</h2>{_said(run)}{over_time(run.samples)}</figure>"
        for run in runs
    )
    heads = "".join(f"<th>{escape(head)}</th>" for head in HEADS)
    table = f"<h1>{escape(title)}</h1><table><tr>{heads}</tr>{body}</table>"
    return document(title, STYLE, f"{table}{''.join(curves)}{figures}")


def _said(run: Run) -> str:
    text = run.cause or run.error
    return f'<p class="bad">{escape(text)}</p>' if text else ""
