"""Threads with recording: starting, joining, names, ends.

Promises: every thread that Python code starts has a slot from its first line to its last, with the name that
`threading` has for it (renames are seen) and, where the system allows, the same name in the system's own lists. A
thread has a path of creation ("main/1", its parent's and its number there), which seeds its noise.
"""

from __future__ import annotations

import functools
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from verify import _real
from verify.observe.composed import KEY, Function, Patch, Seen, dressed
from verify.observe.layout import KIND, OP
from verify.observe.recorder import Me, enter, me, recorder

if TYPE_CHECKING:
    from verify.observe.composed import Method

    Arguments = tuple[object, ...]

_getframe = sys._getframe  # noqa: SLF001 - who calls is what is recorded
_START, _JOIN, _SHUTDOWN = OP["Thread.start"], OP["Thread.join"], OP["threading._shutdown"]


def _seen(thread: threading.Thread) -> Seen:
    known: Seen | None = vars(thread).get(KEY)
    if known is None:
        name = str(vars(thread).get("_name"))
        number, place = recorder.register(KIND["Thread"], _getframe(2), label=name)
        known = vars(thread)[KEY] = Seen(number, place, None)
    return known


def _start(original: Method) -> Method:
    def start(self: threading.Thread) -> object:
        mine = me()
        if mine.noise is not None:
            mine.noise()
        if vars(self).get("_initialized"):
            mine.log(_START, _seen(self).number, recorder.site(_getframe(1)))
        return original(self)

    return dressed(start, original)


def _join(original: Method) -> Method:
    def join(self: threading.Thread, timeout: float | None = None) -> object:
        if (
            not vars(self).get("_initialized")
            or not self.is_alive()
            or self.ident == _real.get_ident()
        ):
            return original(self, timeout)  # at once, or an error
        mine = me()
        if mine.noise is not None:
            mine.noise()
        number = _seen(self).number
        stack = recorder.stack(_getframe(1))
        before = mine.block(number, _JOIN, timeout, stack)
        try:
            return original(self, timeout)
        finally:
            mine.unblock(before)
            result = 0 if timeout is None else 1 + (not self.is_alive())
            mine.log(_JOIN, number, stack, result)

    return dressed(join, original)


def _run(
    thread: threading.Thread | None,
    path: str,
    function: Method,
    args: Arguments,
    keywords: dict[str, object],
) -> None:
    """The first and last lines of every thread."""
    mine = enter(thread, path)
    if thread is not None:
        known: Seen | None = vars(thread).get(KEY)
        if known is not None:
            known.value(mine.slot)
        name_in_system(mine, thread.name)
    try:
        function(*args, **keywords)
    finally:
        recorder.leave(mine)


def name_in_system(record: Me, name: str) -> None:
    """Give the thread its name in the system's lists (15 bytes); not to the main thread: that is the process's."""
    with suppress(OSError), open(f"/proc/self/task/{record.native}/comm", "wb", 0) as file:  # noqa: PTH123 - quick
        file.write(name.encode("utf-8", "replace")[:15])


class StartNewThread(Function):
    """Stands in for `_thread.start_new_thread` and its newer kin."""

    def __call__(self, *args: object, **keywords: object) -> object:
        """Start a thread that begins and ends in `_run`; arguments that are wrong are the original's to refuse."""
        function = args[0] if args else keywords.get("function")
        rest = args[1] if len(args) > 1 else ()
        extra = args[2] if len(args) > 2 else {}
        if not callable(function) or type(rest) is not tuple or type(extra) is not dict:
            return self.original(*args, **keywords)
        mine = me()
        mine.children += 1
        thread: object = getattr(function, "__self__", None)
        thread = thread if isinstance(thread, threading.Thread) else None
        body = functools.partial(
            _run, thread, f"{mine.path}/{mine.children}", function, rest, extra
        )
        if len(args) > 1:
            return self.original(body, ())
        return self.original(
            body, **{name: each for name, each in keywords.items() if name != "function"}
        )


def _shutdown(original: Method) -> Method:
    def shutdown() -> None:
        mine = me()
        before = mine.block(0, _SHUTDOWN, None, 0)
        try:
            original()
        finally:
            mine.unblock(before)

    return dressed(shutdown, original)


def _name(original: property) -> property:
    def rename(self: threading.Thread, name: str) -> None:
        assert original.fset is not None
        original.fset(self, name)
        for record in list(recorder.threads.values()):
            if record.thread is self and not record.ended:
                record.write_identity(recorder)
                if record.thread is not _real.main_thread():
                    name_in_system(record, str(name))

    return property(original.fget, rename, doc=original.__doc__)


def rows() -> list[Patch]:
    """Return the patches of threads; `_thread`'s functions are swept by whoever installs them."""
    import _thread  # noqa: PLC0415 - beside its users

    kind = threading.Thread
    name = vars(kind)["name"]
    assert isinstance(name, property)
    out = [
        Patch(kind, "start", _start(vars(kind)["start"])),
        Patch(kind, "join", _join(vars(kind)["join"])),
        Patch(kind, "name", _name(name)),
        Patch(threading, "_shutdown", _shutdown(vars(threading)["_shutdown"])),
    ]
    return out + [
        Patch(_thread, title, StartNewThread(getattr(_thread, title)))
        for title in ("start_new_thread", "start_new", "start_joinable_thread")
        if hasattr(_thread, title)
    ]
