"""Threads and futures in sets: their hash is their number in the order of making, not their address.

Promises: an object's number, and so its hash, never changes while the check lasts; objects made
outside the check keep the hash they have. Numbers follow the schedule, so sets of such objects are
walked in the same order in every run of it, in every process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import NUMBERS

if TYPE_CHECKING:
    from verify.runtime.execution import Execution

NUMBER = "_stage3_number"


def next_number(execution: Execution) -> int:
    """Return the number of the object that is being made: from 1 in every execution."""
    number = execution.user.get(NUMBER, 0)
    assert isinstance(number, int)
    execution.user[NUMBER] = number + 1
    execution.unseen += NUMBERS
    return number + 1


def hash_of(thing: object) -> int:
    """Stand in for `__hash__`."""
    number: int | None = vars(thing).get(NUMBER)
    return object.__hash__(thing) if number is None else number
