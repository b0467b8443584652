"""Small programs whose threads share plain objects, with and without a fault. Plain Python, as a user's code is.

Between the two accesses of a fault in `ATOMIC` there is no place where a stock build hands over;
in `SPREAD` there is a call.
"""

from __future__ import annotations

import threading
from collections import deque

from .zoo import Program, together

SWITCH = 0


class Counter:
    """Counts in ways that differ in what lies between the read and the write."""

    def __init__(self) -> None:
        self.n = 0

    def add(self) -> None:
        """Nothing."""
        self.n += 1

    def add_far(self) -> None:
        """A Python call."""
        self.n = self.plus(self.n)

    def add_abs(self) -> None:
        """A call of C."""
        self.n = abs(self.n) + 1

    @staticmethod
    def plus(seen: int) -> int:
        """Be called."""
        return seen + 1


class Slotted:
    """Counts without a dictionary."""

    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0


def attribute() -> None:
    counter = Counter()
    together(counter.add, counter.add)
    assert counter.n == 2


def slot() -> None:
    slotted = Slotted()

    def add() -> None:
        slotted.n += 1

    together(add, add)
    assert slotted.n == 2


def item() -> None:
    table = {"n": 0}

    def add() -> None:
        table["n"] += 1

    together(add, add)
    assert table["n"] == 2


def check_then_act() -> None:
    table: dict[str, int] = {}
    made: list[int] = []

    def make() -> None:
        if "key" not in table:
            table["key"] = 1
            made.append(1)

    together(make, make)
    assert len(made) == 1


def closure() -> None:
    n = 0

    def add() -> None:
        nonlocal n
        n += 1

    together(add, add)
    assert n == 2


def of_module() -> None:
    global SWITCH  # noqa: PLW0603 - that is the point
    SWITCH = 0

    def add() -> None:
        global SWITCH  # noqa: PLW0603 - that is the point
        SWITCH += 1

    together(add, add)
    assert SWITCH == 2


def last_item() -> None:
    items = [1]

    def take() -> None:
        if items:
            items.pop()

    together(take, take)


def last_of_a_queue() -> None:
    items = deque([1])

    def take() -> None:
        if len(items) > 0:
            items.popleft()

    together(take, take)


def far_attribute() -> None:
    counter = Counter()
    together(counter.add_far, counter.add_far)
    assert counter.n == 2


def abs_attribute() -> None:
    counter = Counter()
    together(counter.add_abs, counter.add_abs)
    assert counter.n == 2


def locked() -> None:
    counter = Counter()
    lock = threading.Lock()

    def add() -> None:
        with lock:
            counter.n += 1

    together(add, add)
    assert counter.n == 2


def confined() -> None:
    results = [0, 0]

    def work(place: int) -> None:
        mine = Counter()
        seen = []
        for _ in range(3):
            mine.add()
            seen.append(mine.n)
        results[place] = sum(seen)

    together(lambda: work(0), lambda: work(1))
    assert results == [6, 6]


def handed_over() -> None:
    counter = Counter()
    counter.add()
    together(counter.add)
    counter.add()
    assert counter.n == 3


def order_of_arguments() -> None:
    counter = Counter()
    items: list[int] = []

    def note() -> None:
        counter.n = 1
        items.append(counter.n)

    together(note, note)


ATOMIC: tuple[Program, ...] = (
    attribute, slot, item, check_then_act, closure, of_module, last_item, last_of_a_queue,
)  # fmt: skip
SPREAD: tuple[Program, ...] = (far_attribute, abs_attribute)
