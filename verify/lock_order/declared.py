"""Locks of a program's own making: what it says of them, so that they have a place in the lock order.

Promises: outside a check, and where no lock order is collected, each call is a few attribute accesses and does
nothing. In a check a declared lock is taken and given back by an operation, so a schedule can stand just before it.
A read/write lock built of conditions is seen by nobody else: its parts are, and they are held for a moment only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import UsageError
from verify.primitives.patches import State, me_of
from verify.runtime import current

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Declared", "live", "lock_acquiring", "lock_releasing"]


class _Live:
    """Who listens on real threads: `verify.lock_order.live` puts itself here while it collects."""

    acquiring: Callable[[object, str, bool], None] | None = None
    releasing: Callable[[object], None] | None = None


live = _Live()


class Declared(State):
    """What a check keeps of one declared lock."""

    __slots__ = ()

    KIND = "declared"
    KEY = "_stage3_declared"


def lock_acquiring(lock: object, *, shared: bool = False, name: str = "") -> None:
    """Say that the caller is about to take `lock`, a lock of the program's own making; `shared`: for reading.

    The first line of the method that takes it. Its class is `name`, or the class of the object.
    """
    execution = current.controlled()
    if execution is None:
        if live.acquiring is not None:
            live.acquiring(lock, name or type(lock).__name__, shared)
        return
    state = _state(lock)
    state.label = name or type(lock).__name__
    execution.point(me_of(execution), "declared.share" if shared else "declared.acquire", state)


def lock_releasing(lock: object) -> None:
    """Say that the caller is about to give `lock` back. The first line of the method that does."""
    execution = current.controlled()
    if execution is None:
        if live.releasing is not None:
            live.releasing(lock)
        return
    execution.point(me_of(execution), "declared.release", _state(lock))


def _state(lock: object) -> Declared:
    execution = current.controlled()
    assert execution is not None
    try:
        return Declared.of(execution, lock)
    except TypeError:
        raise UsageError(
            f"a {type(lock).__name__} cannot be declared a lock: it has no attributes of its own; "
            "declare an object whose class has no __slots__"
        ) from None
