"""Where an execution of the new text stands in the recorded run: which marks it made, which orders it kept.

Promises: a listener alone; it decides nothing. An order is kept if its first mark was made, and before the second; it
is broken once the second was made first. An order one of whose places is not in the new text is dead: it counts
neither as kept nor as broken.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from traces.anchors import Mark
from verify.abc import Detector, title_of
from verify.durable.matching import Places, Threads
from verify.durable.places import Describer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from traces.anchors import Anchors, Place
    from verify.abc import ExecutionView, TaskView
    from verify.durable.orders import Order


class Old:
    """The recorded run and what is known of it in the new text; shared by all executions of one search."""

    def __init__(self, anchors: Anchors, orders: Sequence[Order]) -> None:
        self.anchors = anchors
        self.orders = list(orders)
        self.marks = anchors.marks()
        self.recorded = {mark: at for at, mark in enumerate(self.marks)}
        self.steps_of: list[list[int]] = [[] for _ in anchors.tracks]
        for at, (track, _) in enumerate(anchors.steps):
            self.steps_of[track].append(at)
        self.places = Places(anchors.places, (*anchors.steps, *anchors.ends))
        self.threads = Threads(anchors.tracks)
        self.describer = Describer()
        self.seen: set[tuple[int, int]] = set()

    def alive(self, mark: Mark) -> bool:
        """Say whether the mark's place is in the new text and its thread was met there."""
        return mark.place in self.places.taken and mark.track in self.threads.claimed

    def lives(self, order: Order) -> bool:
        """Say whether both ends of an order are in the new text, and their threads came to them in some execution."""
        return all((mark.track, mark.place) in self.seen for mark in order)

    def living(self) -> list[Order]:
        """Return the orders both of whose ends are in the new text."""
        return [order for order in self.orders if self.lives(order)]

    def name(self, track: int) -> str:
        """Return what to call a recorded thread."""
        it = self.anchors.tracks[track]
        several = sum(other.role == it.role for other in self.anchors.tracks) > 1
        return f"{it.role} #{it.rank + 1}" if several else it.role

    def text(self, mark: Mark) -> str:
        """Return a mark in words."""
        place = self.anchors.places[mark.place]
        return f"{self.name(mark.track)}: {place.op} {place.object}".rstrip()


class Guide(Detector):
    """Follows one execution after the other.

    `looking`, if set, is called with each mark before it counts as made. While `asking`, orders are broken only where
    nothing else could go on: `whys` counts what kept their first mark.
    """

    name = "guide"

    def __init__(self, old: Old) -> None:
        self.old = old
        self.before: dict[Mark, list[int]] = {}
        self.orders: list[Order] = []
        self.execution: ExecutionView | None = None
        self.asking = False
        self.looking: Callable[[Mark], None] | None = None
        self.sequences: dict[int, list[Place]] = {}
        self.whys: Counter[tuple[Order, str]] = Counter()

    def start(self, execution: ExecutionView) -> None:
        """Begin anew."""
        self.flush()
        self.execution = execution
        self.orders = self.old.living()
        self.before = {}
        for at, order in enumerate(self.orders):
            self.before.setdefault(order.after, []).append(at)
        self.old.threads.begin()
        self.counts: Counter[tuple[int, int]] = Counter()
        self.pendings: dict[int, tuple[str, object, Mark | None]] = {}
        self.done: set[Mark] = set()
        self.broken: set[int] = set()
        self.at: dict[int, int] = {}

    def flush(self) -> None:
        """Hand over in which order the places of the last execution came, thread by thread."""
        for _, places in sorted(self.sequences.items()):
            self.old.places.order.update(dict.fromkeys(places))
        self.sequences = {}

    def pending(self, task: TaskView) -> Mark | None:
        """Return what a task stands before as a mark; None if it has none in the recorded run's threads and places."""
        known = self.pendings.get(task.index)
        if known is not None and known[0] is task.op and known[1] is task.target:
            return known[2]
        mark = self._mark(task, task.op, task.target)
        self.pendings[task.index] = task.op, task.target, mark
        return mark

    def _mark(self, task: TaskView, op: str, target: object) -> Mark | None:
        execution, old = self.execution, self.old
        if execution is None or op == "begin":
            return None
        track = old.threads.number(execution, task)
        new = old.describer.place(execution, task, op, target)
        self.sequences.setdefault(task.index, []).append(new)
        place = old.places.number(new)
        if track is not None:
            old.places.visits.setdefault(new, set()).add(track)
        if track is None or place is None:
            return None
        old.seen.add((track, place))
        return Mark(track, place, self.counts[track, place])

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Note what takes effect."""
        self.old.threads.meet(execution)
        mark = self._mark(task, op, target)
        self.pendings.pop(task.index, None)
        if mark is None:
            return
        if self.looking is not None:
            self.looking(mark)
        self.counts[mark.track, mark.place] += 1
        for at in self.unready(mark):
            if self.asking and at not in self.broken:
                self._ask_why(self.orders[at])
            self.broken.add(at)
        self.done.add(mark)
        recorded = self.old.recorded.get(mark)
        if recorded is not None:
            self.at[mark.track] = max(self.at.get(mark.track, 0), recorded + 1)

    def _ask_why(self, order: Order) -> None:
        """Count what keeps the first mark of an order, that is broken now, from being made."""
        why = self.why_not(order.before)
        if why:
            self.whys[order, why] += 1

    def unready(self, mark: Mark) -> list[int]:
        """Return the orders that want something else before this mark that has not been made."""
        wanting = self.before.get(mark, ())
        return [at for at in wanting if self.orders[at].before not in self.done]

    @property
    def kept(self) -> int:
        """How many orders were kept."""
        return sum(
            at not in self.broken and order.before in self.done
            for at, order in enumerate(self.orders)
        )

    @property
    def met(self) -> bool:
        """Whether all orders that are alive were kept."""
        return self.kept == len(self.orders)

    def made(self) -> int:
        """Return how many recorded marks were made."""
        return sum(mark in self.old.recorded for mark in self.done)

    def why_not(self, mark: Mark) -> str:
        """Say what keeps a mark from being made now; "" where nothing is known to."""
        execution, old = self.execution, self.old
        assert execution is not None
        for task in execution.tasks:
            if old.threads.number(execution, task) != mark.track:
                continue
            if task.done:
                return f"{old.name(mark.track)} has ended without it"
            waits = execution.waits_for(task)
            if waits is None:
                return ""
            subject, owner = waits
            text = f"{old.name(mark.track)} waits in {task.op} for {title_of(subject)}"
            return f"{text}, held by {owner.title}" if owner is not None else text
        return f"{old.name(mark.track)} has not begun"
