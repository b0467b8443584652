"""Shrinking and explaining one failure within one budget.

1. Shrink by passes.
2. Take the orders of the simplest run and reduce them.
3. Schedules that meet them and leave a task only for their sake may have fewer preemptions still, with turns in an
   order that no part of the found schedule has: the best of them is shrunk on.
4. Search everything with fewer preemptions.
5. Explain what came of it.

Promises: what is returned failed in the same way when it was last run; every number was counted. Costs at most the
budget's executions and, up to one execution, its seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from traces import explanation as traced
from verify.explain.events import Orders
from verify.explain.ordered import Thrifty
from verify.explain.places import Places
from verify.explain.reducing import Reduced, Reducer
from verify.explain.sampling import Sampler
from verify.shrink.budget import Budget, SpentError
from verify.shrink.shrinking import Shrinking
from verify.shrink.trials import Trials
from verify.strategies.replay import Replay

if TYPE_CHECKING:
    from verify.abc import Detector, Finding
    from verify.explain.events import Order
    from verify.session import Session
    from verify.shrink.cost import Cost

EXECUTIONS = 2000
"""Most executions for one find."""
GOES_ON = frozenset({"uncaught exception", "broken invariant"})
"""Causes after which the other tasks can go on."""


@dataclass(frozen=True, slots=True)
class Simplified:
    """What came of one failure: the schedule to show, what it costs beside the one found, and why it fails."""

    choices: tuple[int, ...]
    found: Cost
    best: Cost
    fewest: bool
    executions: int
    explanation: traced.Explanation | None


def simplify(
    session: Session, finding: Finding, choices: tuple[int, ...], *, seconds: float, stock: bool
) -> Simplified | None:
    """Shrink and explain; None if `choices` do not fail in that way again.

    The session stands at the schedule's granularity, accesses labelled if `stock`: preemptions are then
    made only where stock builds of Python hand over.
    """
    budget = Budget(EXECUTIONS, seconds)
    trials = Trials(session, finding, budget, stock=stock)
    shrinking = Shrinking.begin(trials, choices)
    if shrinking is None:
        return None
    explaining = _Explaining(session, trials, shrinking)
    shrinking.passes(budget.part(0.3))
    if not shrinking.fewest:
        explaining.reduce(budget.part(0.4))
        explaining.thriftier(budget.part(0.3))
        shrinking.fewer_preemptions(budget.part(0.4))
        if shrinking.best is not explaining.of:
            shrinking.passes(budget.part(0.2))
    explanation = explaining.finish(budget)
    best = shrinking.best
    return Simplified(
        best.choices,
        shrinking.found.cost,
        best.cost,
        shrinking.fewest,
        budget.used,
        explanation,
    )


class _Explaining:
    """The orders of the simplest failing schedule; `of` is the one they were taken from."""

    def __init__(self, session: Session, trials: Trials, shrinking: Shrinking) -> None:
        self.session = session
        self.trials = trials
        self.shrinking = shrinking
        self.of = shrinking.found
        self.reducer: Reducer | None = None
        self.sampler = Sampler(trials, shrinking.found.values, lambda _: None)

    @property
    def reduced(self) -> Reduced | None:
        """The orders, if any are known."""
        return None if self.reducer is None else self.reducer.best

    def reduce(self, budget: Budget) -> None:
        """Take the orders of the simplest run so far, and reduce them."""
        self.trials.budget = budget
        self.of = self.shrinking.best
        self.sampler.values = self.of.values
        self.reducer = None
        try:
            orders = self._orders()
        except SpentError:
            return
        self.reducer = Reducer(self.sampler, orders.found, orders.places)
        self.reducer.reduce()

    def _orders(self) -> Orders:
        """Return the orders of the simplest run and, if it ends with an exception, of what comes after it."""
        watching: list[Detector] = list(self.trials.detectors)
        orders = Orders()
        if self.trials.key[0] in GOES_ON:
            orders = Orders(self.of.cost.steps)
            watching = []
        self.trials.budget.take()
        self.session.run(
            Replay(self.of.choices, strict=False), [orders, *watching], on_stop=orders.snapshot
        )
        return orders

    def thriftier(self, budget: Budget) -> None:
        """Search schedules that meet the orders and preempt only for their sake; shrink what is found on."""
        best = self.shrinking.best
        if self.reduced is None or best is not self.of:
            return
        self.trials.budget = budget
        try:
            while self._one_thriftier(self.reduced.orders):
                pass
        except SpentError:
            pass  # what was reached stands
        if self.shrinking.best is not best:
            self.shrinking.passes(budget)

    def _one_thriftier(self, orders: list[Order]) -> bool:
        """Look for a failing schedule with fewer preemptions; say whether there may be another one."""
        limit = self.shrinking.best.cost.preemptions - 1
        if limit < 0:
            return False
        search = Thrifty(orders, self.of.values, limit)
        while True:
            found = self.trials.run(search)
            if self.trials.last is None or self.trials.last.abort is not None:
                return False
            if found is not None and found.cost.preemptions <= limit:
                return self.shrinking.consider(found)

    def finish(self, budget: Budget) -> traced.Explanation | None:
        """Return the explanation of the simplest schedule."""
        if self.reduced is None or self.of is not self.shrinking.best:
            self.reduce(budget.part(0.6))
        elif self.reducer is not None and not self.reduced.reduced:
            self.trials.budget = budget.part(0.6)
            self.reducer.go_on()
        self.trials.budget = budget
        if self.reducer is not None and self.reduced is not None and self.reduced.of_use:
            self.reducer.reverse()
            return self._traced(self.reduced)
        return None

    def _traced(self, found: Reduced) -> traced.Explanation:
        wanted = {event for order in found.orders for event in order}
        places = Places(wanted)
        self.session.run(
            Replay(self.of.choices), [places, *self.trials.detectors], on_stop=places.snapshot
        )
        orders = tuple(
            traced.Order(
                places.place(order.before), places.place(order.after), share.met, share.failing
            )
            for order, share in zip(found.orders, found.reversals, strict=True)
        )
        critical = _critical(orders)
        share = found.share
        return traced.Explanation(
            tuple(
                order if at == critical else _without_stacks(order)
                for at, order in enumerate(orders)
            ),
            share.met,
            share.failing,
            share.unmet,
            critical,
            found.reduced,
        )


def _critical(orders: tuple[traced.Order, ...]) -> int | None:
    """Return the place of the necessary order that is decided last: whose first event comes last."""
    decided = [
        (order.before.step, at)
        for at, order in enumerate(orders)
        if order.necessary and order.before.step is not None
    ]
    return max(decided)[1] if decided else None


def _without_stacks(order: traced.Order) -> traced.Order:
    return replace(
        order, before=replace(order.before, stack=()), after=replace(order.after, stack=())
    )
