"""What the runs of a batch showed of classes of executions, and that of many batches together.

Promises: independent runs stay in their order, and every one is counted, so that what follows from the batches
together is what would follow from one search that had made their runs. Holds for batches whose scheduling points are
the same, which the caller sees to.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from verify.measure import Measure
from verify.parallel.rows import Row, RowError
from verify.worth import MOST_CLASSES, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

    from verify.abc import Detector, Strategy
    from verify.supervise import Json

MOST_PRINT: Final = 1 << 63
MOST_SOURCES: Final = 100


class Kept(Measure):
    """A measure that keeps the order in which independent runs showed their classes."""

    def restart(self) -> None:
        """Begin to count again."""
        super().restart()
        self.order: dict[str, list[int]] = {}

    def listeners(self, strategy: Strategy) -> list[Detector]:
        """Return who is to listen; orders of operations are not put together."""
        return [each for each in super().listeners(strategy) if each is not self.pairs]

    def ended(self, steps: int) -> None:
        """Count the execution that is over."""
        super().ended(steps)
        if self.looking and self.source:
            self.order.setdefault(self.source, []).append(self.fingerprint)


@dataclass(frozen=True, slots=True)
class Seen:
    """`looked` runs were looked at, of these classes; a number below 0 is a class of its own.

    `drawn` has those of independent runs, in order, by what they were drawn from; `others` the rest.
    """

    looked: int = 0
    drawn: tuple[tuple[str, tuple[int, ...]], ...] = ()
    others: tuple[int, ...] = ()

    @classmethod
    def of(cls, measure: Kept) -> Self:
        """Return what a measure saw."""
        drawn = tuple((source, tuple(prints)) for source, prints in measure.order.items())
        known = {each for _, prints in drawn for each in prints}
        return cls(measure.looked, drawn, tuple(sorted(measure.distinct - known)))

    def as_json(self) -> dict[str, Json]:
        """Return this as JSON."""
        drawn: list[Json] = [[source, list(prints)] for source, prints in self.drawn]
        return {"looked": self.looked, "drawn": drawn, "others": list(self.others)}

    @classmethod
    def parse(cls, value: Json) -> Self:
        """Return what `as_json` wrote; raise `RowError` for anything else."""
        row = Row(value)
        drawn = tuple(map(_drawn, row.items("drawn", MOST_SOURCES)))
        return cls(row.whole("looked"), drawn, _prints(row.items("others", MOST_CLASSES)))


def _drawn(value: Json) -> tuple[str, tuple[int, ...]]:
    if not isinstance(value, list) or len(value) != 2 or not isinstance(value[1], list):
        raise RowError("drawn is no list of pairs")
    return str(value[0])[:MOST_SOURCES], _prints(value[1])


def _prints(values: list[Json]) -> tuple[int, ...]:
    if not all(type(each) is int and -MOST_PRINT < each < MOST_PRINT for each in values):
        raise RowError("a class is no number of 63 bits")
    return tuple(values)  # type: ignore[arg-type] # just asked


def together(batches: Iterable[Seen]) -> Measure:
    """Return the measure of all runs."""
    measure = Measure()
    own = itertools.count(1)
    for seen in batches:
        measure.looked += seen.looked
        for source, prints in seen.drawn:
            tally = measure.tallies.setdefault(source, Tally())
            for each in prints:
                number = each if each >= 0 else -next(own)
                tally.see(number)
                _note(measure, number)
        for each in seen.others:
            _note(measure, each if each >= 0 else -next(own))
    return measure


def _note(measure: Measure, number: int) -> None:
    if len(measure.distinct) < MOST_CLASSES:
        measure.distinct.add(number)
