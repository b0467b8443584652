"""Happens-before by definition: who comes after whom in one execution, and what an operation's past is.

Promises: an operation comes after an earlier one of its own task, after the start that made its task, and after every
earlier operation that it depends on; and after all that those come after. Computed by comparing every pair.

The number of an operation stands for itself and its whole past, the same in every execution: two executions hold the
same number exactly if both hold an operation of that task with that past, ordered in the same way. So an execution up
to equivalence is the set of its numbers, and one is a prefix of another exactly if its set is a subset.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.certificate.footprint import apart

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from verify.certificate.footprint import Footprint
    from verify.certificate.runs import Event

    Shape = tuple[str, str, str, int, int, int, tuple[int, ...]]


class Numbers:
    """Numbers of operations with their pasts, and which footprints meet; shared by all executions."""

    def __init__(self) -> None:
        self.table: dict[Shape, int] = {}
        self.footprints: dict[Footprint, int] = {}
        self.meeting: list[list[int]] = []
        """For each footprint, those of `footprints` that it is not apart from."""

    def number(self, shape: Shape) -> int:
        """Return the number of an operation with its past, a new one for a new past."""
        return self.table.setdefault(shape, len(self.table))

    def known(self, shape: Shape) -> int | None:
        """Return the number, None for what no execution has had."""
        return self.table.get(shape)

    def meets(self, touches: Footprint) -> tuple[int, list[int]]:
        """Return the number of a footprint, and those of all that it is not apart from."""
        known = self.footprints.get(touches)
        if known is None:
            known = self.footprints[touches] = len(self.footprints)
            self.meeting.append([])
            for other, number in self.footprints.items():
                if not apart(touches, other):
                    self.meeting[known].append(number)
                    if number != known:
                        self.meeting[number].append(known)
        return known, self.meeting[known]


class Order:
    """The order of one execution. Sets of operations are whole numbers: bit i is the operation at place i."""

    def __init__(self, events: Sequence[Event], numbers: Numbers) -> None:
        self.events = events
        self.numbers = numbers
        self.direct: list[int] = []
        """What each operation directly comes after."""
        self.past: list[int] = []
        """Everything that it comes after."""
        self.place: list[int] = []
        """Its place among the operations of its task."""
        self.ids: list[int] = []
        self.of_task: dict[str, int] = {}
        self.all = (1 << len(events)) - 1
        self._alike: dict[int, int] = {}
        self._from_on: dict[int, int] = {}
        for at, event in enumerate(events):
            direct = self.comes_after(event)
            place = self.of_task.get(event.task, 0).bit_count()
            self.direct.append(direct)
            self.past.append(direct | self.pasts(direct))
            self.place.append(place)
            self.ids.append(numbers.number(self.shape(event, place, direct)))
            self.of_task[event.task] = self.of_task.get(event.task, 0) | 1 << at
            footprint, _ = numbers.meets(event.touches)
            self._alike[footprint] = self._alike.get(footprint, 0) | 1 << at

    def comes_after(self, event: Event) -> int:
        """Return which of the operations so far come directly before `event`."""
        direct = self.of_task.get(event.task, 0)
        for footprint in self.numbers.meets(event.touches)[1]:
            direct |= self._alike.get(footprint, 0)
        if event.after >= 0:
            direct |= 1 << event.after
        return direct

    def pasts(self, chosen: int) -> int:
        """Return everything that comes before any of `chosen`."""
        found = 0
        while chosen:
            last = chosen.bit_length() - 1
            found |= self.past[last]
            chosen &= ~(found | 1 << last)
        return found

    def shape(self, event: Event, place: int, direct: int) -> Shape:
        """Return what the number of `event` stands for, with `direct` directly before it."""
        latest = direct & ~self.pasts(direct)
        before = tuple(sorted(self.ids[each] for each in places(latest)))
        return event.task, event.op, event.kind, place, event.value, event.bound, before

    def from_on(self, at: int) -> int:
        """Return the operation at `at` and everything that comes after it."""
        found = self._from_on.get(at)
        if found is None:
            found = 1 << at
            for place in range(at + 1, len(self.events)):
                found |= (self.past[place] >> at & 1) << place
            self._from_on[at] = found
        return found

    def before(self, event: Event, at: int) -> int:
        """Return the place of the last operation of its task before place `at`, -1 without one."""
        return (self.of_task.get(event.task, 0) & ((1 << at) - 1)).bit_length() - 1

    def lasts(self, chosen: int) -> list[int]:
        """Return the numbers of the last operation of each task among `chosen`: they stand for all of it."""
        own = (each & chosen for each in self.of_task.values())
        return [self.ids[each.bit_length() - 1] for each in own if each]


def places(chosen: int) -> Iterator[int]:
    """Yield the places in a set, ascending."""
    while chosen:
        low = chosen & -chosen
        yield low.bit_length() - 1
        chosen ^= low
