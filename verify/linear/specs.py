"""Sequential specifications: what an object does when one call comes after the other.

Promises: `step` is a pure function from a state and a call to the state after it and the outcome; states are
hashable, so that the search can remember where it was. An outcome is a value, or the class of an exception. A
specification with a `key` says which calls have nothing to do with each other (those with different keys): each
key is then judged alone, which is sound because linearizability is local (Herlihy and Wing, TOPLAS 1990).
"""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Hashable

    Step = tuple[Hashable, object]


class Spec(Protocol):
    """What a specification is. A method `key(op, args)` is looked for besides, and need not be there."""

    def initial(self) -> Hashable:
        """Return the state before the first call."""
        ...

    def step(self, state: Hashable, op: str, args: tuple[object, ...]) -> Step:
        """Return the state after a call, and its outcome."""
        ...


class _OneValue:
    def __init__(self, value: Hashable = None) -> None:
        self.value = value

    def initial(self) -> Hashable:
        """Return the value it starts with."""
        return self.value


class Register(_OneValue):
    """`read()`, `write(value)`, `swap(value)` (returns the old one), `cas(old, new)` (returns whether it did)."""

    def step(self, state: Hashable, op: str, args: tuple[object, ...]) -> Step:
        """Do one operation."""
        if op == "read":
            return state, state
        if op == "write":
            return _hashable(args[0]), None
        if op == "swap":
            return _hashable(args[0]), state
        if op == "cas":
            return (_hashable(args[1]), True) if state == args[0] else (state, False)
        raise unknown(self, op, "read, write, swap, cas")


class Counter(_OneValue):
    """`add(n)` and `increment()` return the value after it; `get()`. Starts with 0 unless told otherwise."""

    def __init__(self, value: int = 0) -> None:
        super().__init__(value)

    def step(self, state: Hashable, op: str, args: tuple[object, ...]) -> Step:
        """Do one operation."""
        assert isinstance(state, int)
        if op == "get":
            return state, state
        if op in {"add", "increment"}:
            amount = args[0] if args else 1
            assert isinstance(amount, int)
            return state + amount, state + amount
        raise unknown(self, op, "get, add, increment")


class _Row:
    last = False

    def initial(self) -> Hashable:
        """Return an empty row."""
        return ()

    def step(self, state: Hashable, op: str, args: tuple[object, ...]) -> Step:
        """Do one operation."""
        assert isinstance(state, tuple)
        if op in {"put", "push", "append"}:
            return (*state, _hashable(args[0])), None
        if op in {"get", "pop", "popleft"}:
            if not state:
                return state, queue.Empty if op == "get" else IndexError
            return (state[:-1], state[-1]) if self.last else (state[1:], state[0])
        if op in {"len", "qsize"}:
            return state, len(state)
        raise unknown(self, op, "put, push, append, get, pop, popleft, len, qsize")


class Fifo(_Row):
    """A queue: `put(x)` (push, append) and `get()` (pop, popleft), which raises when there is nothing; `qsize()`."""


class Lifo(_Row):
    """A stack: the same operations, the last in first out."""

    last = True


class KeyValue:
    """`get(k)`, `put(k, v)`, `delete(k)` (returns whether it was there), `contains(k)`, `setdefault(k, v)`."""

    def initial(self) -> Hashable:
        """Return the state of one key: nothing there."""
        return ()

    def key(self, op: str, args: tuple[object, ...]) -> object:
        """Return the key that a call is about."""
        del op
        return args[0]

    def step(self, state: Hashable, op: str, args: tuple[object, ...]) -> Step:
        """Do one operation on one key, whose state is () or (value,)."""
        assert isinstance(state, tuple)
        if op == "get":
            return state, state[0] if state else None
        if op == "put":
            return (_hashable(args[1]),), None
        if op == "delete":
            return (), bool(state)
        if op == "contains":
            return state, bool(state)
        if op == "setdefault":
            after = state or (_hashable(args[1]),)
            return after, after[0]
        raise unknown(self, op, "get, put, delete, contains, setdefault")


def _hashable(value: object) -> Hashable:
    hash(value)
    return value


def unknown(spec: object, op: str, known: str) -> ValueError:
    """Return the error for a call that a specification does not have."""
    return ValueError(f"{type(spec).__name__} has no operation {op!r}; it has: {known}")
