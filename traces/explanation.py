"""Why a run failed, as plain values: what was left of its schedule, and the orders it takes.

Promises: every value is immutable; `shrunk` and `explanation` take parsed JSON from anywhere and return values whose
every field has its type and keeps its bound, or raise `TraceError` naming the field.
Does not judge: the numbers are what whoever sampled the schedules counted.

An order says that one operation of one task takes effect before one of another. A run fails, as far as schedules were
sampled, when all orders of its explanation hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from traces._fields import Fields, wrong
from traces.frames import MOST_FRAMES, Frame, as_frame

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Event", "Explanation", "Order", "Shrunk", "chains", "explanation", "shrunk"]

MOST_ORDERS = 1000


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What shrinking made of the schedule that was found.

    `token` replays the found one ("" where it is too long to keep); `found_preemptions` and `found_steps` count in it,
    `preemptions` in the one that stands in the trace; `runs` executions were tried. `fewest` says that every schedule
    with fewer preemptions was run, at these scheduling points, and none fails in this way.
    """

    token: str
    found_preemptions: int
    found_steps: int
    preemptions: int
    runs: int
    fewest: bool


@dataclass(frozen=True, slots=True)
class Event:
    """One operation: the `nth` (from 0) time that `task` does `op` to `object`.

    `step` is its place among the trace's steps, None where the task still stood before it when the run ended; `site`
    and `stack` say where the task stood then, the most recent call last.
    """

    task: str
    op: str
    object: str
    nth: int
    step: int | None
    site: str
    stack: tuple[Frame, ...] = ()


@dataclass(frozen=True, slots=True)
class Order:
    """`before` takes effect before `after`; with the two reversed `failing` of `reversed` sampled schedules failed.

    `reversed` is 0 where no sampled schedule could reverse them while the other orders held.
    """

    before: Event
    after: Event
    reversed: int
    failing: int

    @property
    def necessary(self) -> bool:
        """Whether no sampled schedule with the two reversed failed in the same way, and there were some."""
        return self.reversed > 0 and not self.failing


@dataclass(frozen=True, slots=True)
class Explanation:
    """The orders that make the run fail.

    Of `sampled` schedules that meet all of them `failing` failed in the same way; `unmet` others were drawn and did not
    come to meet them. `critical` is the place in `orders` of the pair that is decided last, None where
    no order is needed. `reduced` says that leaving any one out was tried.
    """

    orders: tuple[Order, ...]
    sampled: int
    failing: int
    unmet: int
    critical: int | None
    reduced: bool


def shrunk(value: object, where: str) -> Shrunk | None:
    """Read a `Shrunk`, or null."""
    if value is None:
        return None
    fields = Fields(value, where, Shrunk)
    return Shrunk(
        token=fields.text("token"),
        found_preemptions=fields.whole("found_preemptions"),
        found_steps=fields.whole("found_steps"),
        preemptions=fields.whole("preemptions"),
        runs=fields.whole("runs"),
        fewest=fields.flag("fewest"),
    )


def explanation(value: object, where: str) -> Explanation | None:
    """Read an `Explanation`, or null."""
    if value is None:
        return None
    fields = Fields(value, where, Explanation)
    read = Explanation(
        orders=fields.rows("orders", _order, MOST_ORDERS),
        sampled=fields.whole("sampled"),
        failing=fields.whole("failing"),
        unmet=fields.whole("unmet"),
        critical=fields.whole_or_none("critical"),
        reduced=fields.flag("reduced"),
    )
    if read.critical is not None and read.critical >= len(read.orders):
        wrong(f"{where}.critical", read.critical, f"a place among {len(read.orders)} orders")
    return read


def _order(value: object, where: str) -> Order:
    fields = Fields(value, where, Order)
    return Order(
        before=_event(fields.values["before"], fields.path("before")),
        after=_event(fields.values["after"], fields.path("after")),
        reversed=fields.whole("reversed"),
        failing=fields.whole("failing"),
    )


def _event(value: object, where: str) -> Event:
    fields = Fields(value, where, Event)
    return Event(
        task=fields.text("task"),
        op=fields.text("op"),
        object=fields.text("object"),
        nth=fields.whole("nth"),
        step=fields.whole_or_none("step"),
        site=fields.text("site"),
        stack=fields.rows("stack", as_frame, MOST_FRAMES),
    )


def chains(orders: Sequence[Order]) -> list[list[Event]]:
    """Return the orders strung together where one ends with the event that another begins with."""
    left = list(orders)
    out = []
    while left:
        first = left.pop(0)
        chain = [first.before, first.after]
        while (at := _place(left, before=chain[-1])) is not None:
            chain.append(left.pop(at).after)
        while (at := _place(left, after=chain[0])) is not None:
            chain.insert(0, left.pop(at).before)
        out.append(chain)
    return out


def _place(
    orders: Sequence[Order], before: Event | None = None, after: Event | None = None
) -> int | None:
    for at, order in enumerate(orders):
        if before == order.before or after == order.after:
            return at
    return None
