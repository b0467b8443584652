"""The fewest orders that still make every sampled schedule fail, and what reversing each of them does.

1. All orders that the failing run shows: schedules that meet them are the same run but for independent operations.
2. Delta debugging on them; a set holds if all sampled schedules that meet it fail in the same way. (Where already some
   that meet all orders do not, as many may pass.) Those of the tasks that the failure is about are kept
   rather than others, accesses to data rather than operations on locks.
3. More schedules that meet the set are sampled for the share that is said; if some pass, it is done again with more.
4. Each order is reversed, the others kept, in schedules that leave a task only where an order or a wait asks for it:
   the nearest runs in which it does not hold. Where they fail, too, the order says more than is needed ("first, second,
   third" for "first and second before third"; "before it writes" for "before it reads"), and what says less is tried in
   its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from verify.explain.events import RELEASES, Order
from verify.explain.ordered import LAZY
from verify.explain.sampling import Sample
from verify.shrink.budget import SpentError
from verify.shrink.subsets import smallest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from verify.explain.events import Event
    from verify.explain.sampling import Sampler

DATA = frozenset({"read", "write"})
SAMPLES, MORE_SAMPLES = 8, 40
"""Schedules sampled for one set of orders while it is reduced, at first and if too few turn out to have been."""
SHARE_SAMPLES = 40
REVERSED_SAMPLES = 20
MOST_UNREDUCED = 12
"""Orders that are of use to a reader even where the budget ended before any was left out."""
MOST_WEAKENED = 4
MOST_STEPS = 3
"""Events before or behind one that are tried in its place."""


@dataclass
class Reduced:
    """A set of orders: what sampling it gave, and for each what sampling its reversal gave."""

    orders: list[Order]
    share: Sample
    reduced: bool
    reversals: list[Sample] = field(default_factory=list)

    @property
    def of_use(self) -> bool:
        """Whether it is worth showing."""
        return self.reduced or len(self.orders) <= MOST_UNREDUCED

    @property
    def doubts(self) -> int:
        """How many schedules with a reversed order fail in the same way."""
        return sum(sample.failing for sample in self.reversals)

    @property
    def doubtful(self) -> int | None:
        """The place of the first order whose reversal fails in the same way, too."""
        return next((at for at, sample in enumerate(self.reversals) if sample.failing), None)


class Reducer:
    """Reduces the orders of one run; `places` says when its events were."""

    def __init__(self, sampler: Sampler, orders: Sequence[Order], places: dict[Event, int]) -> None:
        self.sampler = sampler
        self.places = places
        culprits = sampler.trials.culprits
        self.all = sorted(orders, key=lambda order: _last_to_go(order, culprits))
        self.samples = SAMPLES
        self.passing = 0
        self.shares: dict[tuple[Order, ...], Sample] = {}
        self.best: Reduced | None = None

    def reduce(self) -> None:
        """Set `best`, unless too few of the schedules that meet all orders fail."""
        try:
            for self.samples in (SAMPLES, MORE_SAMPLES):
                whole = self.sampler.sample(self.all, self.samples)
                if 2 * whole.failing < whole.met or not whole.met:
                    break
                self.passing = whole.passing
                self.shares[tuple(self.all)] = whole
                self.best = self._smallest(self.all)
                if self._stands(self.best):
                    break
        except SpentError:
            pass  # what is known stands

    def go_on(self) -> None:
        """Reduce what was reached when the budget ended."""
        if self.best is not None:
            self.all = self.best.orders
            self.reduce()

    def reverse(self) -> None:
        """Sample each reversal. Where one fails in the same way, look for orders that say less."""
        try:
            if self.best is not None:
                self._sample_reversals(self.best)
                for _ in range(MOST_WEAKENED):
                    if not self._weaken(self.best):
                        break
        except SpentError:
            pass  # what was not sampled is said not to be

    def _holds(self, kept: list[Order]) -> bool:
        found = self.sampler.sample(kept, self.samples, most_passing=self.passing)
        self.shares[tuple(kept)] = found
        return 2 * found.met >= self.samples and found.passing <= self.passing

    def _smallest(self, orders: list[Order]) -> Reduced:
        kept, reduced = smallest(orders, self._holds)
        share = self.shares[tuple(kept)]
        kept.sort(key=lambda order: (self.places[order.after], self.places[order.before]))
        return Reduced(kept, share, reduced)

    def _stands(self, found: Reduced) -> bool:
        """Sample more schedules that meet the orders; say whether as few pass as of those that meet all."""
        found.share += self.sampler.sample(found.orders, SHARE_SAMPLES)
        return found.share.passing <= self.passing

    def _sample_reversals(self, found: Reduced) -> None:
        found.reversals = [Sample(0, 0, 0) for _ in found.orders]
        for at, order in enumerate(found.orders):
            orders = [*found.orders[:at], order.reversed, *found.orders[at + 1 :]]
            sample = self.sampler.sample(orders, REVERSED_SAMPLES, stay=LAZY)
            if not sample.met:
                sample = self.sampler.sample(orders, REVERSED_SAMPLES)
            found.reversals[at] = sample

    def _weaken(self, best: Reduced) -> bool:
        """Replace an order whose reversal fails, too, by what says less, if that holds and fewer reversals fail."""
        at = best.doubtful
        if at is None:
            return False
        for orders in self._weaker(best.orders, at):
            if not self._holds(orders):
                continue
            found = self._smallest(orders)
            if not self._stands(found):
                continue
            self._sample_reversals(found)
            if found.doubts < best.doubts:
                self.best = found
                return True
        return False

    def _weaker(self, orders: list[Order], at: int) -> Iterator[list[Order]]:
        """Yield sets with weaker orders in place of the one at `at`.

        What follows from it and another one; an earlier event of the first task; a later one of the other.
        """
        detour = self._detour(orders, at)
        if detour:
            yield detour
        before, after = orders[at]
        place = self.places
        like = sorted(place, key=place.__getitem__)
        earlier = [e for e in like if _alike(e, before) and place[e] < place[before]]
        later = [e for e in like if _alike(e, after) and place[e] > place[after]]
        for event in reversed(earlier[-MOST_STEPS:]):
            yield [*orders[:at], Order(event, after), *orders[at + 1 :]]
        for event in later[:MOST_STEPS]:
            yield [*orders[:at], Order(before, event), *orders[at + 1 :]]

    def _detour(self, orders: list[Order], at: int) -> list[Order]:
        """Return `orders` with what follows from the one at `at` and another one instead; empty if nothing does."""
        before, after = orders[at]
        rest = [*orders[:at], *orders[at + 1 :]]
        place = self.places
        new = [
            Order(before, then)
            for first, then in rest
            if first.task == after.task
            and place[first] >= place[after]
            and then.task != before.task
        ] + [
            Order(first, after)
            for first, then in rest
            if then.task == before.task
            and place[then] <= place[before]
            and first.task != after.task
        ]
        return [*rest, *(order for order in new if order not in rest)] if new else []


def _alike(event: Event, other: Event) -> bool:
    return event.task == other.task and event.role == other.role and event.op not in RELEASES


def _last_to_go(order: Order, culprits: Collection[str]) -> tuple[bool, bool]:
    """Return a key that puts first what is likely needed: data of the tasks that the failure is about."""
    concerns = order.before.task in culprits or order.after.task in culprits
    return not concerns, not (order.before.op in DATA and order.after.op in DATA)
