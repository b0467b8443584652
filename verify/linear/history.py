"""Histories: who called what on a shared object, when each call began and ended, and what it returned.

Promises: `call` and the two methods it is made of can be used from any number of threads, under a check and
outside; the order of beginnings and ends is the order in which they were recorded, and a call that has not ended is
kept as pending. An exception is an outcome like any other: its class stands for it. Nothing here is a scheduling
point. Does not copy arguments and results: what is changed afterwards is seen changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from verify import _real

if TYPE_CHECKING:
    from collections.abc import Callable

R = TypeVar("R")
PENDING = object()
"""The outcome of a call that has not ended."""


@dataclass(slots=True)
class Call:
    """One call: `begin` and `end` count events; `outcome` is what it returned, or the class of what it raised."""

    who: str
    op: str
    args: tuple[object, ...]
    begin: int
    end: int = -1
    outcome: object = PENDING

    @property
    def pending(self) -> bool:
        """Whether it has not ended."""
        return self.end < 0

    def __str__(self) -> str:
        args = ", ".join(map(repr, self.args))
        shown = self.outcome.__name__ if isinstance(self.outcome, type) else repr(self.outcome)
        return f"{self.who}: {self.op}({args}) -> {'pending' if self.pending else shown}"


class History:
    """The calls on one object. `name` is what a report calls it."""

    def __init__(self, name: str = "object") -> None:
        self.name = name
        self.calls: list[Call] = []
        self._lock = _real.allocate_lock()
        self._events = 0

    def begin(self, op: str, *args: object) -> Call:
        """Record that the calling thread begins a call."""
        who = _caller()
        with self._lock:
            call = Call(who, op, args, self._events)
            self._events += 1
            self.calls.append(call)
        return call

    def end(self, call: Call, outcome: object = None) -> None:
        """Record what `call` returned, or the class of what it raised."""
        with self._lock:
            call.outcome = outcome
            call.end = self._events
            self._events += 1

    def call(self, op: str, function: Callable[..., R], *args: object) -> R:  # type: ignore[explicit-any] # any function of `args`
        """Call `function(*args)` and record it as operation `op`; what it returns or raises goes on to the caller."""
        call = self.begin(op, *args)
        try:
            result = function(*args)
        except Exception as error:
            self.end(call, type(error))
            raise
        self.end(call, result)
        return result


def _caller() -> str:
    import threading  # noqa: PLC0415 - inside a check the name is the model's

    return threading.current_thread().name
