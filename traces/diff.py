"""Two runs of one program side by side: which operations they share, in which order, and where they part.

Promises: operations are told apart by thread, operation, object and the how-manieth time; those that both runs do are
aligned so that as many as possible stand side by side in their order (a longest common subsequence, in n log n steps,
since no operation occurs twice), the others are told with where they stand in the other run. Pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from traces.printing import counted, plain
from traces.text import Titles, cut, cut_front

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from traces.schema import Step, Trace

    Event = tuple[str, str, str, int]

__all__ = ["Row", "Summary", "align", "summary", "text"]

AROUND = 3
"""Lines shown before and after those that differ."""
_SITE = 30


@dataclass(frozen=True, slots=True)
class Row:
    """A step of the first run, of the second, or of both side by side.

    `elsewhere` is where the operation of a step that stands alone is done in the other run, None where it is not.
    """

    first: int | None
    second: int | None
    elsewhere: int | None = None

    @property
    def same(self) -> bool:
        """Whether both runs do it here."""
        return self.first is not None and self.second is not None


@dataclass(frozen=True, slots=True)
class Summary:
    """How two runs compare, in numbers of steps; `parted` is the first row where they differ, None without."""

    aligned: int
    moved: int
    only_first: int
    only_second: int
    parted: int | None


def events(steps: Sequence[Step]) -> list[Event]:
    """Return what tells each step from all others of its run, and is the same in another run."""
    counts: Counter[tuple[str, str, str]] = Counter()
    found = []
    for step in steps:
        what = (step.task, step.op, step.object)
        found.append((*what, counts[what]))
        counts[what] += 1
    return found


def align(first: Trace, second: Trace) -> tuple[Row, ...]:
    """Return the rows, in an order that keeps the order of both runs."""
    ones, others = events(first.steps), events(second.steps)
    place = {event: at for at, event in enumerate(others)}
    here = {event: at for at, event in enumerate(ones)}
    pairs = [(at, place[event]) for at, event in enumerate(ones) if event in place]
    kept = _longest([there for _, there in pairs])
    rows: list[Row] = []
    one = other = 0
    for at, there in [*(pairs[each] for each in kept), (len(ones), len(others))]:
        rows += [Row(k, None, place.get(ones[k])) for k in range(one, at)]
        rows += [Row(None, k, here.get(others[k])) for k in range(other, there)]
        if at < len(ones):
            rows.append(Row(at, there))
        one, other = at + 1, there + 1
    return tuple(rows)


def _longest(numbers: Sequence[int]) -> list[int]:
    """Return the places of a longest increasing subsequence of different numbers."""
    ends: list[int] = []
    """The smallest last number of an increasing subsequence of each length."""
    places: list[int] = []
    before: list[int] = []
    for at, number in enumerate(numbers):
        length = bisect_left(ends, number)
        before.append(places[length - 1] if length else -1)
        ends[length:length + 1] = [number]  # fmt: skip
        places[length:length + 1] = [at]  # fmt: skip
    chain = []
    at = places[-1] if places else -1
    while at >= 0:
        chain.append(at)
        at = before[at]
    return chain[::-1]


def summary(rows: Sequence[Row]) -> Summary:
    """Count the rows."""
    alone = [row for row in rows if not row.same]
    return Summary(
        aligned=len(rows) - len(alone),
        moved=sum(row.elsewhere is not None and row.first is not None for row in alone),
        only_first=sum(row.elsewhere is None and row.first is not None for row in alone),
        only_second=sum(row.elsewhere is None and row.second is not None for row in alone),
        parted=next((at for at, row in enumerate(rows) if not row.same), None),
    )


def told(found: Summary) -> str:
    """Return the numbers in words."""
    if found.parted is None:
        return f"{counted(found.aligned, 'step')}, the same in the same order"
    return (
        f"{counted(found.aligned, 'step')} side by side, {found.moved} in another order, "
        f"{found.only_first} only in the first, {found.only_second} only in the second"
    )


def text(first: Trace, second: Trace, names: tuple[str, str], width: int = 120) -> Iterator[str]:
    """Yield the comparison in lines: `<` the first alone, `>` the second alone, else both."""
    rows = align(first, second)
    for mark, name, trace in (("<", names[0], first), (">", names[1], second)):
        how = trace.failure.cause if trace.failure else "no failure"
        yield f"{mark} {plain(name)}: {plain(how)}, {counted(len(trace.steps), 'step')}"
    found = summary(rows)
    yield told(found)
    if found.parted is not None:
        yield ""
        yield from _lines(first, second, rows, width)


def _lines(first: Trace, second: Trace, rows: Sequence[Row], width: int) -> Iterator[str]:
    titles = (Titles.of(first), Titles.of(second))
    differing = [at for at, row in enumerate(rows) if not row.same]
    shown = sorted({near for at in differing for near in range(at - AROUND, at + AROUND + 1)})
    last = -1
    for at in shown:
        if not 0 <= at < len(rows):
            continue
        if at > last + 1:
            yield f"  ({counted(at - last - 1, 'step')} side by side)"
        last = at
        row = rows[at]
        step, title = (
            (first.steps[row.first], titles[0])
            if row.first is not None
            else (second.steps[row.second or 0], titles[1])
        )
        yield _line(row, step, title, width)
    if last < len(rows) - 1:
        yield f"  ({counted(len(rows) - 1 - last, 'step')} side by side)"


def _line(row: Row, step: Step, titles: Titles, width: int) -> str:
    mark = " " if row.same else "<" if row.first is not None else ">"
    numbers = "".join("      " if at is None else f"{at:>6}" for at in (row.first, row.second))
    what = f"{titles.task(step.task)}: {plain(step.op)} {titles.object(step.object)}".rstrip()
    if step.result:
        what += f" -> {plain(step.result)}"
    if row.elsewhere is not None:
        what += f"  (the other's step {row.elsewhere})"
    room = max(width - 16 - _SITE, 30)
    line = f"{mark} {numbers}  {cut(what, room).ljust(room)}{cut_front(plain(step.site), _SITE)}"
    return line.rstrip()
