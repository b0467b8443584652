"""Whether a set of executions is closed under reversing races, and why then nothing is missing.

What is checked. For every execution F of the set, every operation x of it (or pending at its end, of task p) and every
operation e of another task that x directly comes after, with p's operation before x not after e: let W be F without e
and x and all that comes after either. If p can take x after W, some execution of the set has W.x as a prefix, up to
equivalence. (W.x is E'.v of Source-DPOR, Abdulla et al., JACM 2017, with the longest v.) It suffices to ask for the
latest such e that leave x possible: an e that comes before another of them is left out.

Why that is enough. Suppose an execution of the program has a prefix that is in no execution of the set. Take a
shortest one; it is c.x with c a prefix of some F of the set (the empty prefix is one of each). Among these take F and x
with the fewest operations outside c that x comes after. There are some, else c.x were a prefix of F. Each of them came
between c and x and does not commute with x; the first on the object on which x depends leaves x possible when it is
left out, since the state of that object is then that behind c. So there is a latest e that does, and every operation
that comes after one outside c is outside c, too. W holds c, since nothing in c comes after e or x. So the set has an
execution with prefix W.x, in which x comes after fewer operations outside c: a contradiction. If x is pending at the
end of F and no operation outside c stands in its way, it could still be taken at the end, so the end cut it off: that
the last operation of a thread that has to finish, z, ends the execution is treated as a race of z with x.

What is shown is that every beginning of an execution is one of the set's. An execution that ends before a daemon has
come as far as in another one is a beginning of that one, and need not be in the set itself.

Assumes what every partial-order method does: what a task does next depends on its past as the operations show it.
Values that the program draws are operations that depend on nothing, and every other value has to be there as well.
Whether x is possible after W is not computed: where the set has no execution with W.x, the program is run to see. Two
kinds are left out, since they never are: taking a lock just before it is given up, and waking before any notification.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from verify.certificate.footprint import NOTIFIES
from verify.certificate.order import Numbers, Order, places
from verify.certificate.runs import DRAW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from verify.certificate.order import Shape
    from verify.certificate.runs import Event, Run

    Probe = Callable[[Sequence[Event], str], list[Event] | None]
    """Runs the program along given steps, then one more of a task: all of them, None where one cannot be taken."""


class Hole(NamedTuple):
    """What is missing: after `steps`, `event` can come next, and no execution of the set begins like that.

    `number` is the execution (from 1) that shows it.
    """

    number: int
    steps: tuple[Event, ...]
    event: Event

    def __str__(self) -> str:
        event = self.event
        said = f"value {event.value}" if event.op == DRAW else f"{event.op} ({event.kind or '-'})"
        return (
            f"execution {self.number} shows that {event.task} can do {said} after {len(self.steps)} operations "
            "in an order that no execution of the certificate begins with"
        )


class Closure:
    """The executions of a certificate, and the search for what is missing among them."""

    def __init__(self, probe: Probe) -> None:
        self.probe = probe
        self.numbers = Numbers()
        self.orders: list[Order] = []
        self.pending: list[list[Event]] = []
        self.daemons: list[frozenset[str]] = []
        self.sets: list[frozenset[int]] = []
        self.having: dict[int, list[int]] = {}
        self.impossible: set[Shape] = set()
        self.races = 0
        self.probes = 0

    def add(self, run: Run) -> None:
        """Add an execution."""
        order = Order(run.events, self.numbers)
        for number in order.ids:
            self.having.setdefault(number, []).append(len(self.orders))
        self.orders.append(order)
        self.sets.append(frozenset(order.ids))
        self.pending.append(run.pending)
        self.daemons.append(run.daemons)

    @property
    def classes(self) -> int:
        """How many executions there are, up to equivalence."""
        return len(set(self.sets))

    def hole(self, number: int) -> Hole | None:
        """Return what execution `number` (from 0) shows to be missing, if anything."""
        order = self.orders[number]
        for at, event in enumerate(order.events):
            look = self._values if event.op == DRAW else self._reversals
            if (found := look(number, event, at)) is not None:
                return found
        end = len(order.events)
        for event in self.pending[number]:
            found = self._reversals(number, event, end) or self._cut(number, event)
            if found is not None:
                return found
        return None

    # --- races

    def _reversals(self, number: int, event: Event, at: int) -> Hole | None:
        order = self.orders[number]
        inside = at < len(order.events)
        direct = order.direct[at] if inside else order.comes_after(event)
        kept = order.all & ~order.from_on(at) if inside else order.all
        needed = self._needed(order, event, at)
        above = 0  # what comes before a race that can be reversed
        for each in reversed([*places(direct & ~needed)]):
            if above >> each & 1 or self._cannot(event, order.events[each]):
                continue
            left = kept & ~order.from_on(each)
            found = self._covered(number, left, event, direct & left)
            if isinstance(found, Hole):
                return found
            if found:
                self.races += 1
                above |= order.past[each]
        return None

    @staticmethod
    def _needed(order: Order, event: Event, at: int) -> int:
        """Return what comes before the place at which the task of `event` stands before it."""
        needed = 0
        for place in (order.before(event, at), event.after):
            if place >= 0:
                needed |= order.past[place] | 1 << place
        return needed

    @staticmethod
    def _cannot(event: Event, earlier: Event) -> bool:
        """Whether `event` certainly cannot come just before `earlier`: it takes a lock that is held until then."""
        if not (earlier.gives_up and event.needs_free):
            return False
        held = {place.key for place in earlier.touches if place.write}
        return any(place.write and place.key in held for place in event.touches)

    def _cut(self, number: int, event: Event) -> Hole | None:
        """The end of the execution, treated as a race of the last operations that have to be with `event`."""
        order = self.orders[number]
        needed = self._needed(order, event, len(order.events))
        direct = order.comes_after(event)
        for task, own in order.of_task.items():
            last = own.bit_length() - 1
            if task in self.daemons[number] or needed >> last & 1:
                continue
            left = order.all & ~order.from_on(last)
            found = self._covered(number, left, event, direct & left)
            if isinstance(found, Hole):
                return found
            self.races += bool(found)
        return None

    def _values(self, number: int, event: Event, at: int) -> Hole | None:
        order = self.orders[number]
        left = order.all & ~order.from_on(at)
        for value in range(event.bound):
            if value != event.value:
                other = event._replace(value=value)
                shape = order.shape(other, order.place[at], order.direct[at])
                if not self._somewhere(self.numbers.known(shape), order.lasts(left)):
                    return self._hole(number, left, other)
        return None

    # --- what is there

    def _covered(self, number: int, left: int, event: Event, direct: int) -> bool | Hole:
        """Whether an execution begins with `left`, then `event`, directly after `direct`; False if it cannot be."""
        order = self.orders[number]
        own = order.of_task.get(event.task, 0) & left
        waking = event.op == "Condition.wake" and not event.timed
        if waking and not _notified(order, own.bit_length() - 1, direct):
            return False
        place = own.bit_count()
        shape = order.shape(event, place, direct)
        if shape in self.impossible:
            return False
        if self._somewhere(self.numbers.known(shape), order.lasts(left)):
            return True
        found = self._seen(number, left, event)
        if found is False:
            self.impossible.add(shape)
        return found

    def _somewhere(self, number: int | None, lasts: Sequence[int]) -> bool:
        """Whether an execution holds all these numbers."""
        if number is None:
            return False
        wanted = [number, *lasts]
        rarest = min(wanted, key=lambda each: len(self.having.get(each, ())))
        return any(self.sets[run].issuperset(wanted) for run in self.having.get(rarest, ()))

    def _seen(self, number: int, left: int, event: Event) -> bool | Hole:
        """Take the steps, and look whether what comes then is in some execution."""
        order = self.orders[number]
        steps = [order.events[each] for each in places(left)]
        self.probes += 1
        taken = self.probe(steps, event.task)
        if taken is None:
            return False
        seen = Order(taken, self.numbers)
        if self._somewhere(seen.ids[-1], seen.lasts(seen.all)):
            return True
        return self._hole(number, left, taken[-1])

    def _hole(self, number: int, left: int, event: Event) -> Hole:
        steps = tuple(self.orders[number].events[each] for each in places(left))
        return Hole(number + 1, steps, event)


def _notified(order: Order, wait: int, direct: int) -> bool:
    """Whether somebody has notified the condition, among `direct`, since the wait at place `wait` began."""
    return any(
        order.events[each].op in NOTIFIES and order.past[each] >> wait & 1
        for each in places(direct)
    )
