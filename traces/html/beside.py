"""Two traces side by side as a page: operations that both do stand in one row.

Promises: as for every page of this package; no script runs in it. A row that only one run has there links to where the
other does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from traces.diff import align, summary, told
from traces.errors import TraceError
from traces.html.shell import document, text
from traces.printing import counted
from traces.text import Titles

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from traces.diff import Row
    from traces.schema import Trace

__all__ = ["beside"]

MOST_ROWS: Final = 20_000
AROUND: Final = 4


def beside(first: Trace, second: Trace, names: tuple[str, str]) -> str:
    """Return the page; `names` are what the two are called. Raises `TraceError` for runs too long for a page."""
    rows = align(first, second)
    if len(rows) > MOST_ROWS:
        problem = f"{len(rows)} rows, at most {MOST_ROWS} fit a page"
        raise TraceError(names[0], problem, "say stage3 trace diff for the comparison as text")
    found = summary(rows)
    parted = f' <a href="#r{found.parted}">where they part</a>' if found.parted is not None else ""
    body = (
        '<header><h1>Two runs, aligned by operation</h1></header>\n<main><section class="pair">'
        f"{_about(names[0], first)}{_about(names[1], second)}</section>\n"
        f'<section><p>{text(told(found))}.{parted}</p></section>\n<section class="wide" tabindex="0" role="group" '
        'aria-label="Steps of both runs"><table class="steps"><thead><tr>'
        f"{_head('a')}{_head('b')}</tr></thead>\n{''.join(_bodies(rows, first, second))}</table></section></main>"
    )
    return document("Two runs, aligned by operation", body, styles=("beside.css",))


def _about(name: str, trace: Trace) -> str:
    failure = trace.failure
    badge = (
        f'<span class="badge">{text(failure.cause)}</span>'
        if failure
        else '<span class="badge good">no failure</span>'
    )
    message = text(failure.message) if failure else "The run ended well."
    preempted = counted(sum(step.switch for step in trace.steps), "preemption")
    size = f"{counted(len(trace.steps), 'step')}, {preempted}"
    return (
        f"<div><h2>{text(name)}</h2><p>{badge} {message}</p>"
        f'<p class="quiet">{text(trace.program.target)}: {size}</p></div>'
    )


def _head(mark: str) -> str:
    return (
        f'<th scope="col" class="number {mark}">step</th><th scope="col" class="thread">thread</th>'
        '<th scope="col">operation</th><th scope="col" class="source">source</th>'
    )


def _bodies(rows: Sequence[Row], first: Trace, second: Trace) -> Iterator[str]:
    """Yield the rows; where both runs do the same for long, the middle is folded into one line."""
    titles = (Titles.of(first), Titles.of(second))
    differing = [at for at, row in enumerate(rows) if not row.same]
    near = {k for at in differing for k in range(at - AROUND, at + AROUND + 1)}
    yield "<tbody>"
    left_out = 0
    for at, row in enumerate(rows):
        if row.same and at not in near and differing:
            left_out += 1
            continue
        yield _folded(left_out)
        left_out = 0
        yield _row(at, row, first, second, titles)
    yield _folded(left_out) + "</tbody>"


def _folded(count: int) -> str:
    if not count:
        return ""
    return f'<tr class="folded"><td colspan="8">{counted(count, "step")} side by side</td></tr>\n'


def _row(at: int, row: Row, first: Trace, second: Trace, titles: tuple[Titles, Titles]) -> str:
    kind = "same" if row.same else "moved" if row.elsewhere is not None else "alone"
    left = _cells("a", row.first, first, titles[0], row)
    right = _cells("b", row.second, second, titles[1], row)
    return f'<tr id="r{at}" class="{kind}">{left}{right}</tr>\n'


def _cells(mark: str, at: int | None, trace: Trace, titles: Titles, row: Row) -> str:
    if at is None:
        if row.elsewhere is None:
            return f'<td colspan="4" class="gap {mark}"></td>'
        link = f'<a href="#{mark}{row.elsewhere}">step {row.elsewhere}</a>'
        return f'<td colspan="4" class="gap {mark}">here at {link}</td>'
    step = trace.steps[at]
    did = f"{step.op} {titles.object(step.object)}" + (f" → {step.result}" if step.result else "")
    switch = ' <span class="preempts">preemption</span>' if step.switch else ""
    fails = trace.failure is not None and at == len(trace.steps) - 1
    last = ' <span class="bad">fails</span>' if fails else ""
    return (
        f'<td class="number {mark}" id="{mark}{at}">{at}</td><td>{text(titles.task(step.task))}</td>'
        f'<td>{text(did)}{switch}{last}</td><td class="quiet source">{text(step.site)}</td>'
    )
