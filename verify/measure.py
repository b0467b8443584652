"""Looks at some of a search's executions more closely: classes, orders of conflicting operations, what was not seen.

Promises: an execution goes the same way whether it is looked at or not, and which ones are looked at does
not depend on how they go. The classes of the first `ALL` runs that a strategy draws independently are
counted, then of one in `EVERY`; of other runs, and orders of operations, of one in `EVERY`: so a search
costs little more than without. The chance of something new is stated for independent runs alone, and
for each strategy that draws them apart. Executions that are too long to name count as all different, which
only raises it. When scheduling points are learned on the way, counting begins again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from verify.abc import UsageError, drawn_by
from verify.coverage.pairs import Pairs
from verify.happens_before import Classes
from verify.worth import CONFIDENCE, MOST_CLASSES, Tally

if TYPE_CHECKING:
    from verify.abc import Detector, Strategy

ALL: Final = 1_000
EVERY: Final = 10
LONG: Final = 2_000
"""Operations beyond which an execution is a class of its own: to name its class would take too long."""
SHOWN: Final = 2
FEW: Final = 20
"""Runs of one kind below which nothing is said of them, if there are others."""


class Measure:
    """What the runs of one search showed, so far.

    `unseen` is the chance of something new below which the search may end, `confidence` that of all
    limits; with `whole` every run is looked at, as coverage that is kept needs. `before` runs were made by others
    (of a divided search): these are not the first.
    """

    def __init__(
        self,
        *,
        unseen: float | None = None,
        confidence: float = CONFIDENCE,
        whole: bool = False,
        before: int = 0,
    ) -> None:
        self.unseen = unseen
        self.confidence = confidence
        self.whole = whole or unseen is not None
        self.before = before
        self.classes = Classes()
        self.fingerprint = 0
        self.pairs = Pairs()
        self.restart()

    def restart(self) -> None:
        """Begin to count again: the program's scheduling points are others from now on."""
        self.distinct: set[int] = set()
        self.tallies: dict[str, Tally] = {}
        self.runs: dict[str, int] = {}
        self.looked = 0
        self.looking = False
        self.source = ""

    def listeners(self, strategy: Strategy) -> list[Detector]:
        """Return who is to listen to the execution that `strategy` has just begun."""
        self.source = drawn_by(strategy)
        made = self.runs.get(self.source, 0)
        self.runs[self.source] = made + 1
        count = self.before + made
        first = bool(self.source) and count < ALL
        self.looking = self.whole or first or count % EVERY == 0
        if self.whole or count % EVERY == 0:
            return [self.classes, self.pairs]
        return [self.classes] if self.looking else []

    def ended(self, steps: int) -> None:
        """Count the execution that is over, which made `steps` operations."""
        if not self.looking:
            return
        self.looked += 1
        fingerprint = self.classes.fingerprint if steps <= LONG else -self.looked
        self.fingerprint = fingerprint
        if len(self.distinct) < MOST_CLASSES:
            self.distinct.add(fingerprint)
        if self.source:
            self.tallies.setdefault(self.source, Tally()).see(fingerprint)

    @property
    def limit(self) -> float:
        """The lowest upper limit on the chance of something new that holds for a strategy's runs; 1 without any."""
        count = max(len(self.tallies), 1)
        # One of several limits is taken, so each must hold the better.
        each = 1.0 - (1.0 - self.confidence) / count
        return min((tally.limit(each) for tally in self.tallies.values()), default=1.0)

    @property
    def reached(self) -> bool:
        """Whether what was asked for holds. Looked at now and then only: the limit holds whenever it is."""
        return self.unseen is not None and self.looked % EVERY == 0 and self.limit <= self.unseen

    def short(self, strategy: str) -> str:
        """Say that what was asked for does not hold, if so."""
        if self.unseen is None or self.limit <= self.unseen:
            return ""
        if not self.tallies:
            return (
                f"asked for at most {percent(self.unseen)} unseen, and {strategy} draws no runs independently: nothing "
                "follows from them; search with strategy pos or random"
            )
        return (
            f"asked for at most {percent(self.unseen)} unseen with {percent(self.confidence)} confidence, and the runs "
            f"made show at most {percent(self.limit)}; give a larger budget"
        )

    def worth(self, strategy: str) -> list[str]:
        """Say, in lines, how many classes were seen, and how likely the next run shows another."""
        if not self.looked:
            return []
        bound = "at least " if len(self.distinct) >= MOST_CLASSES else ""
        found = many(len(self.distinct), "class", "classes")
        said = f"{bound}{found} of executions in {many(self.looked, 'run', 'runs')} looked at"
        if not self.tallies:
            return [
                f"{said}; {strategy} draws no runs independently: no estimate of those not seen"
            ]
        enough = [name for name, tally in self.tallies.items() if tally.runs >= FEW] or [
            *self.tallies
        ]
        most = sorted(enough, key=lambda name: -self.tallies[name].runs)[:SHOWN]
        return [said, *map(self._of, most)]

    def as_json(self) -> dict[str, object]:
        """Return the counts for a program that reads them."""
        return {
            "runs": self.looked,
            "classes": len(self.distinct),
            "orders": len(self.pairs.seen),
            "independent": {
                name: {
                    "runs": tally.runs,
                    "classes": tally.classes,
                    "unseen": tally.rate,
                    "unseen_limit": tally.limit(self.confidence),
                    "confidence": self.confidence,
                }
                for name, tally in self.tallies.items()
            },
        }

    def _of(self, name: str) -> str:
        tally = self.tallies[name]
        return (
            f"{tally.classes:,} in {tally.runs:,} independent runs of {name}: its next run is of a class it has not "
            f"shown with a chance of about {percent(tally.rate)} (Good-Turing), "
            f"at most {percent(tally.limit(self.confidence))} with {percent(self.confidence)} confidence"
        )


def many(count: int, one: str, more: str) -> str:
    """Return a number with its noun."""
    return f"{count:,} {one if count == 1 else more}"


def percent(share: float) -> str:
    """Return a share as people read it: 95 %, 0.31 %."""
    return f"{100 * share:.3g} %"


def probability(value: object, name: str) -> None:
    """Raise `UsageError` unless `value` lies between 0 and 1, both left out."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1:
        raise UsageError(f"{name} is {value!r}; give a number between 0 and 1, like 0.95")
