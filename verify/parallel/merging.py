"""Batches put together to one result.

Promises: the result is a function of the batches that count, in the order of their numbers, whoever ran them and when.
The search ends with its first last batch (see `Batch.last`); what others ran beyond it does not count. Executions are
numbered through: batch k's begin at k times the batch size. A batch lost to a crash is a failure of its own kind,
named by how the process ended; one lost to a hang, or to a kill, proves nothing and leaves a pass inconclusive.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from verify.abc import Finding
from verify.explore import Exploration, Group, Lost
from verify.granularity import parse
from verify.parallel.batches import Batch, Loss
from verify.parallel.seen import together

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verify.measure import Measure
    from verify.parallel.batches import Kind
    from verify.parallel.search import Search
    from verify.program import Program
    from verify.supervise import Task

CRASHED: Final = "crashed worker"
NOT_AGAIN: Final = "not run again"


class Batches:
    """The batches of a search that are there, by number. `elsewhere` are those that somebody else has.

    `lost` says what else came to nothing, in words.
    """

    def __init__(self, search: Search, elsewhere: frozenset[int] = frozenset()) -> None:
        self.search = search
        self.elsewhere = elsewhere
        self.lost: list[str] = []
        self.there: dict[int, Batch | Loss] = {}
        self.end: int | None = None
        """The number of the last batch that counts, once one is known."""

    def add(self, number: int, row: Batch | Loss) -> None:
        """Take one in."""
        self.there[number] = row
        if self._ends(row):
            self.ends_by(number)

    def ends_by(self, number: int | None) -> None:
        """Take in that no batch after `number` counts; None says nothing."""
        if number is not None and (self.end is None or number < self.end):
            self.end = number

    def left(self) -> Iterator[Task]:
        """Yield this shard's batches that may count and are nowhere yet; looks at the end as it goes."""
        for task in self.search.tasks():
            if self.end is not None and task.number > self.end:
                return
            if task.number not in self.there and task.number not in self.elsewhere:
                yield task

    def _ends(self, row: Batch | Loss) -> bool:
        if isinstance(row, Batch):
            return row.last
        return self.search.first_only and row.is_crash

    def counting(self) -> Iterator[tuple[int, Batch | Loss]]:
        """Yield the batches that count, in order."""
        for number in sorted(self.there):
            if self.end is None or number <= self.end:
                yield number, self.there[number]

    def settled(self) -> bool:
        """Whether nothing more can change the result: an end is known, and all of this shard up to it is there."""
        return self.end is not None and next(self.left(), None) is None

    def missing(self, part: int, parts: int) -> list[int]:
        """Return the numbers of shard `part` of `parts` that should be there and are not."""
        total = self.search.batches
        end = total if self.end is None else self.end + 1
        if end is None:
            return []
        return [number for number in range(part - 1, end, parts) if number not in self.there]


def merged(program: Program, batches: Batches, seconds: float) -> Exploration:
    """Return what the batches come to; their finds are not confirmed yet."""
    search = batches.search
    strategy = search.strategy_of(search.seed)
    state = Exploration(program, strategy.name, search.seed, backend=search.backend, threaded=True)
    state.seconds = seconds
    before, unlisted = 0.0, 0
    worths: list[str] = []
    for number, row in batches.counting():
        begin = number * search.batch
        if isinstance(row, Loss):
            _lost(state, search, number, row)
            continue
        state.executions += row.executions
        state.steps += row.steps
        state.threads = max(state.threads, row.threads)
        state.exhausted |= row.exhausted
        state.diverged = state.diverged or _where(search, number, row.diverged)
        state.granularity = joined(state.granularity, row.granularity)
        for table, kinds in ((state.groups, row.groups), (state.notes, row.notes)):
            for kind in kinds:
                _count(table, kind, begin, before)
        for name, asked, reached in row.hopes:
            had = state.hopes.get(name, (0, 0))
            state.hopes[name] = had[0] + asked, had[1] + reached
        before += row.seconds
        unlisted += row.unlisted
        worths.append(row.worth)
        if row.exhausted:
            state.worth = row.worth
    if not state.exhausted:
        state.worth = _worth(search, state.executions, worths)
    state.measure = _measure(batches)
    state.parts = _parts(search, batches, unlisted)
    state.lost += map(Lost, batches.lost)
    return state


def _measure(batches: Batches) -> Measure | None:
    """Return what all runs showed, where they can be counted together: at the same scheduling points."""
    rows = [row for _, row in batches.counting() if isinstance(row, Batch)]
    return (
        together(row.seen for row in rows) if len({row.granularity for row in rows}) == 1 else None
    )


def _where(search: Search, number: int, diverged: str) -> str:
    return f"{diverged}\n  in batch {number}: {search.again(number)}" if diverged else ""


def _count(table: dict[tuple[str, ...], Group], kind: Kind, begin: int, before: float) -> None:
    key = (kind.finding.cause, *kind.finding.key)
    group = table.get(key)
    if group is not None:
        group.count += kind.count
        return
    table[key] = Group(
        kind.finding,
        kind.choices,
        begin + kind.first,
        before + kind.first_s,
        kind.count,
        granularity=kind.granularity,
    )


def _lost(state: Exploration, search: Search, number: int, row: Loss) -> None:
    where = f"execution {row.execution} of batch {number}" if row.execution else f"batch {number}"
    named = f"{where} (seed {row.seed})"
    again = search.again(number, row.execution)
    report = () if row.is_crash else row.report
    state.lost.append(Lost(f"{named}: {row.words}; again: {again}", report))
    if not row.is_crash:
        return
    words = row.words.removeprefix("the worker ")
    key = (CRASHED, words)
    if key in state.groups:
        state.groups[key].count += 1
        return
    message = f"the program ended its process: {words}, in {named}"
    finding = Finding(CRASHED, message, (words,), (*row.report, f"again: {again}"))
    first = number * search.batch + max(1, row.execution)
    state.groups[key] = Group(finding, (), first, 0.0, build=NOT_AGAIN)


def joined(one: str, other: str) -> str:
    """Return the granularity that has the scheduling points of both."""
    first, second = parse(one), parse(other)
    return first.grown(second.pairs).text if first.pairs else other or one


def _worth(search: Search, executions: int, worths: list[str]) -> str:
    if search.pct is not None:
        sizes = [text for text in worths if "void" in text]
        return sizes[0] if sizes else search.strategy_of(search.seed).worth(executions)
    if len(worths) == 1:
        return worths[0]
    many = f"{executions:,} executions in {len(worths):,} batches, each a search of its own"
    return f"{many}; of the first alone: {worths[0]}" if worths else many


def _parts(search: Search, batches: Batches, unlisted: int) -> str:
    many = sum(1 for _ in batches.counting())
    of = f" of {search.batches:,}" if search.batches is not None else ""
    text = f"{many:,}{of} batches of {search.batch:,} executions"
    if search.shard.parts > 1:
        text += f", shard {search.shard}"
    if unlisted:
        text += f"; {unlisted:,} kinds of failure left out for their size: make the batches smaller"
    return text
