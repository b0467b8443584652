"""Small programs on attributes, containers and declared ranges."""

from __future__ import annotations

from collections import deque

from bench.programs.micro.parts import Log, Thing, beside, micro
from verify import access


@micro
def attribute_update() -> object:
    """Two updates of one attribute, one of which may be lost."""
    state = Thing()

    def add() -> None:
        state.a += 1

    beside(add, add)
    return state.a


@micro
def attributes_apart() -> object:
    """Each of two threads reads what the other writes."""
    state, seen = Thing(), {}

    def one() -> None:
        state.a = 1
        seen["b"] = state.b

    def other() -> None:
        state.b = 1
        seen["a"] = state.a

    beside(one, other)
    return sorted(seen.items())


@micro
def not_in_dict() -> object:
    """`k not in d`, then a store: both may come to it."""
    made: dict[str, str] = {}
    log = Log()

    def make(name: str) -> None:
        if "k" not in made:
            made["k"] = name
            log.add(name)

    beside(lambda: make("a"), lambda: make("b"))
    return sorted(map(str, log)), made


@micro
def dict_pop() -> object:
    """A value read behind a test, while another thread takes it out."""
    made, log = {"k": 1}, Log()

    def read() -> None:
        if "k" in made:
            log.add(made["k"])

    beside(read, lambda: made.pop("k"))
    return log


@micro
def deque_test_and_pop() -> object:
    """`if d: d.popleft()`, twice, on one item."""
    items, log = deque(["a"]), Log()

    def take() -> None:
        if items:
            log.add(items.popleft())

    beside(take, take)
    return log


@micro
def deque_order() -> object:
    """Appended at either end."""
    items: deque[str] = deque()
    beside(lambda: items.append("a"), lambda: items.appendleft("b"), lambda: items.append("c"))
    return items


@micro
def list_length() -> object:
    """An index made of a length that another thread changes."""
    items, log = [1], Log()

    def add() -> None:
        place = len(items)
        items.append(place)
        log.add(place)

    beside(add, add)
    return sorted(map(str, log)), items


@micro
def ranges_that_overlap() -> object:
    """Declared accesses to parts of one object."""
    log = Log()

    def write(lo: int, hi: int) -> None:
        access("pages", lo, hi, write=True)
        log.add(lo)

    beside(lambda: write(0, 4), lambda: write(3, 8), lambda: write(3, 4))
    return log
