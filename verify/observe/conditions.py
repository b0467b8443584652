"""Condition with recording: who waits since when, who notified last, and whether anybody waited then.

Promises: CPython's own methods run. A wait is recorded from before the lock is given back until after it is taken
again; while the lock is what is missing, the wait is for the lock. Inside a composed object (a queue, an event) the
wait and the notification are the object's.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from verify.observe.composed import CONDITION, KEY, Patch, Seen, dressed, made, seen
from verify.observe.layout import OP
from verify.observe.recorder import Me, enter, local, recorder

if TYPE_CHECKING:
    from verify.observe.composed import Method

_getframe = sys._getframe  # noqa: SLF001 - who calls is what is recorded
_WAIT, _WAKE, _NOTIFY, _NOTIFY_ALL = (
    OP[f"Condition.{name}"] for name in ("wait", "wake", "notify", "notify_all")
)


def _seen(condition: threading.Condition) -> Seen | None:
    try:
        known: Seen | None = vars(condition)[KEY]
    except KeyError:
        known = seen(condition, CONDITION, _getframe(2), early=True)
    return known


def _wait(original: Method) -> Method:
    def wait(self: threading.Condition, timeout: float | None = None) -> object:
        try:
            me: Me = local.me
        except AttributeError:
            me = enter()
        stack = recorder.stack(_getframe(1))
        if vars(self).get("_lock") is me.inner and me.outer is not None:
            before = me.block(me.outer[0].number, me.outer[1], timeout, stack)
            try:
                return original(self, timeout)
            finally:
                me.unblock(before)
        known = _seen(self)
        if known is None:
            return original(self, timeout)
        number = known.number
        if me.noise is not None:
            me.noise()
        me.log(_WAIT, number, stack)
        before = me.block(number, _WAIT, timeout, stack)
        inner, me.inner = me.inner, vars(self).get("_lock")
        notified = None
        try:
            notified = original(self, timeout)
        finally:
            me.inner = inner
            me.unblock(before)
            me.log(_WAKE, number, stack, 0 if notified is None else 1 + bool(notified))
        return notified

    return dressed(wait, original)


def _notify(original: Method, code: int) -> Method:
    def notify(self: threading.Condition, *args: object, **kwargs: object) -> object:
        try:
            me: Me = local.me
        except AttributeError:
            me = enter()
        waiters = len(vars(self).get("_waiters", ()))
        stack = recorder.site(_getframe(1))
        lock = vars(self).get("_lock")
        if lock is me.inner and me.outer is not None:
            value = original(self, *args, **kwargs)
            me.outer[0].notified(me, waiters, stack)
            return value
        known = _seen(self)
        if known is None:
            return original(self, *args, **kwargs)
        before = (me.inner, me.outer)
        me.inner, me.outer = lock, (known, code)  # notify_all calls notify: one operation
        try:
            value = original(self, *args, **kwargs)
        finally:
            me.inner, me.outer = before
        known.notified(me, waiters, stack)
        me.log(code, known.number, stack, 1 + bool(waiters))
        return value

    return dressed(notify, original)


def rows() -> list[Patch]:
    """Return the patches of `threading.Condition`."""
    kind = threading.Condition
    return [
        made(kind, CONDITION),
        Patch(kind, "wait", _wait(vars(kind)["wait"])),
        Patch(kind, "notify", _notify(vars(kind)["notify"], _NOTIFY)),
        Patch(kind, "notify_all", _notify(vars(kind)["notify_all"], _NOTIFY_ALL)),
    ]
