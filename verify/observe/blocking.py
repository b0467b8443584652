"""Calls that block without a lock: sleep, sockets, select, and SimpleQueue, which is C.

Promises: the real call is made, with the caller's arguments; around it the thread's wait says in which call it is.
A call that cannot block (time-out 0) is not recorded.
Does not: see reads and writes of files and pipes, nor TLS sockets, which talk to C directly.
"""

from __future__ import annotations

import queue
import select
import selectors
import socket
import sys
import time
from typing import TYPE_CHECKING, Self

from verify import _real
from verify.observe.composed import Function, Patch, dressed
from verify.observe.layout import KIND, OP
from verify.observe.recorder import me, object_at, recorder

if TYPE_CHECKING:
    from verify.observe.composed import Method

_getframe = sys._getframe  # noqa: SLF001 - who calls is what is recorded
_SLEEP, _SELECT, _SELECTOR = OP["time.sleep"], OP["select.select"], OP["Selector.select"]
_PUT, _GET = OP["SimpleQueue.put"], OP["SimpleQueue.get"]


class Sleep(Function):
    """`time.sleep`."""

    def __call__(self, *args: object, **keywords: object) -> object:
        """Sleep as the original does."""
        seconds = args[0] if args else 0
        if not isinstance(seconds, int | float) or not seconds > 0:
            return self.original(*args, **keywords)
        mine = me()
        stack = recorder.stack(_getframe(1))
        before = mine.block(0, _SLEEP, seconds, stack)
        try:
            return self.original(*args, **keywords)
        finally:
            mine.unblock(before)
            mine.log(_SLEEP, 0, stack)


class Select(Function):
    """`select.select`."""

    def __call__(self, *args: object, **keywords: object) -> object:
        """Select as the original does."""
        timeout = args[3] if len(args) > 3 else None
        if timeout is not None and (not isinstance(timeout, int | float) or timeout <= 0):
            return self.original(*args, **keywords)
        mine = me()
        stack = recorder.stack(_getframe(1))
        before = mine.block(0, _SELECT, timeout, stack)
        try:
            return self.original(*args, **keywords)
        finally:
            mine.unblock(before)
            mine.log(_SELECT, 0, stack)


def _selecting(original: Method) -> Method:
    def select(self: object, timeout: float | None = None) -> object:
        if timeout is not None and timeout <= 0:
            return original(self, timeout)
        mine = me()
        stack = recorder.stack(_getframe(1))
        before = mine.block(0, _SELECTOR, timeout, stack)
        try:
            return original(self, timeout)
        finally:
            mine.unblock(before)
            mine.log(_SELECTOR, 0, stack)

    return dressed(select, original)


SOCKET_CALLS = {
    "_accept": "accept", "connect": "connect", "recv": "recv", "recv_into": "recv", "recvfrom": "recv",
    "recvfrom_into": "recv", "recvmsg": "recv", "recvmsg_into": "recv", "send": "send", "sendall": "send",
    "sendto": "send", "sendmsg": "send",
}  # fmt: skip


def _socket_call(name: str, title: str) -> Patch:
    original: Method = getattr(socket.socket, name)
    code = OP[f"socket.{title}"]

    def call(self: socket.socket, *args: object, **keywords: object) -> object:
        timeout = self.gettimeout()
        if timeout == 0:
            return original(self, *args, **keywords)
        mine = me()
        stack = recorder.stack(_getframe(1))
        before = mine.block(0, code, timeout, stack)
        try:
            return original(self, *args, **keywords)
        finally:
            mine.unblock(before)
            mine.log(code, 0, stack)

    return Patch(socket.socket, name, dressed(call, original))


class SimpleQueue(_real.SimpleQueue[object]):
    """`queue.SimpleQueue`: the real one, with a number."""

    __slots__ = ("number", "offset", "place")

    number: int
    offset: int
    place: int

    def __new__(cls) -> Self:
        """Make a queue."""
        self = super().__new__(cls)
        self.number, self.place = recorder.register(KIND["SimpleQueue"], _getframe(1), value=0)
        self.offset = object_at(self.place)
        return self

    def put(self, item: object, block: bool = True, timeout: float | None = None) -> None:  # noqa: ARG002 - as the real one
        """Add an item; never blocks."""
        self._put(item, recorder.site(_getframe(1)))

    def put_nowait(self, item: object) -> None:
        """Add an item."""
        self._put(item, recorder.site(_getframe(1)))

    def _put(self, item: object, stack: int) -> None:
        mine = me()
        if mine.noise is not None:
            mine.noise()
        # The number is drawn before, so that a put stands before the get of its item.
        seq = mine.next()
        super().put(item)
        mine.log(_PUT, self.number, stack, 0, seq)
        mine.words[self.offset + 8 >> 3] = self.qsize()

    def get(self, block: bool = True, timeout: float | None = None) -> object:
        """Take the oldest item, wait for one if there is none, or raise queue.Empty."""
        return self._get(block, timeout, recorder.stack(_getframe(1)))

    def get_nowait(self) -> object:
        """Take the oldest item or raise queue.Empty."""
        return self._get(False, None, recorder.stack(_getframe(1)))

    def _get(self, block: bool, timeout: float | None, stack: int) -> object:
        mine = me()
        if mine.noise is not None:
            mine.noise()
        outcome = 1
        try:
            item = self._take(block, timeout, stack)
            outcome = 0
        finally:
            mine.log(_GET, self.number, stack, outcome)
            mine.words[self.offset + 8 >> 3] = self.qsize()
        return item

    def _take(self, block: bool, timeout: float | None, stack: int) -> object:
        if block and (timeout is None or timeout > 0):
            try:
                return super().get(False)
            except queue.Empty:
                pass
            mine = me()
            before = mine.block(self.number, _GET, timeout, stack)
            try:
                return super().get(True, timeout)
            finally:
                mine.unblock(before)
        return super().get(block, timeout)

    def __del__(self) -> None:
        try:  # noqa: SIM105 - by the end of the interpreter only builtins are left
            recorder.forget(self.place)
        except (AttributeError, TypeError):
            pass  # an interpreter that is half gone


def rows() -> list[Patch]:
    """Return the patches; functions of C and SimpleQueue are swept by whoever installs them."""
    out = [
        Patch(time, "sleep", Sleep(time.sleep)),
        Patch(select, "select", Select(select.select)),
        Patch(queue, "SimpleQueue", SimpleQueue),
        *(
            _socket_call(name, title)
            for name, title in SOCKET_CALLS.items()
            if hasattr(socket.socket, name)
        ),
    ]
    for name in ("SelectSelector", "_PollLikeSelector", "EpollSelector"):
        kind = getattr(selectors, name, None)
        if kind is not None and "select" in vars(kind):
            out.append(Patch(kind, "select", _selecting(vars(kind)["select"])))
    return out
