"""The order among locks of one class, as the program declares it: each lock's key.

Promises: a key lives as long as its lock. Where nobody collects lock orders a call costs one dictionary entry; a
program that declares nothing pays nothing.
"""

from __future__ import annotations

from weakref import WeakKeyDictionary

__all__ = ["lock_order_key", "order_of"]


class _Keys:
    """The keys given so far; None before the first one."""

    known: WeakKeyDictionary[object, object] | None = None


def lock_order_key(lock: object, key: object) -> None:
    """Say where `lock` stands among locks of its class: a thread that holds several took them with rising keys.

    Keys of one class are of one type and have an order (an account's number, a path). Taking a lock while one of its
    class with the same or a higher key is held is reported by `stage3 lock-order`.
    """
    if _Keys.known is None:
        _Keys.known = WeakKeyDictionary()
    try:
        _Keys.known[lock] = key
    except TypeError:
        return  # a real lock of C: nobody watches it


def order_of(lock: object) -> object:
    """Return the key given to `lock`, or None."""
    known = _Keys.known
    return None if known is None else known.get(lock)
