"""Bytes under way in one direction between two sockets, and what either end learns of the other's end.

Promises: the errors, and which of them comes first, are Linux's, measured on socket pairs and on TCP over
loopback (`tests/verify/test_sockets.py` compares them). What differs between the two families is one table:

| the peer | unix | TCP |
|---|---|---|
| closed, nothing unread | send: EPIPE | the first send is lost, the next one: EPIPE |
| closed with bytes unread | recv: ECONNRESET, once; send: EPIPE | recv or send, whichever is first: ECONNRESET |
| closed with SO_LINGER 0 | as any close | as with bytes unread |
| shut its reading side | send: EPIPE | nothing is seen |

A reset that comes after the peer's orderly end is no reset to a reader: it sees the end.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from verify.runtime.gate import Gate
from verify.runtime.naming import Named

if TYPE_CHECKING:
    from verify.runtime.execution import Execution


class Stream(Named):
    """One direction: the bytes sent and not yet read.

    `error` is what the reader's end has pending: an error number, once, as `SO_ERROR`. `shut`: the
    writer will write no more. `broken`: nobody will read. `deaf`: nobody will read, but the writer
    has yet to learn it (TCP).
    """

    __slots__ = (
        "at_end", "broken", "data", "deaf", "error", "is_tcp", "limit", "readable", "shut", "writable",
    )  # fmt: skip

    KIND = "stream"

    def __init__(self, execution: Execution, limit: int, *, is_tcp: bool) -> None:
        self.adopt(execution)
        self.data = bytearray()
        self.limit = limit
        self.is_tcp = is_tcp
        self.at_end = self.shut = self.broken = self.deaf = False
        self.error = 0
        self.readable = Gate(execution, self, is_open=False)
        self.writable = Gate(execution, self, is_open=True)

    def settle(self) -> None:
        """Set both gates after a change."""
        if self.data or self.at_end:
            self.readable.set_open()
        else:
            self.readable.set_closed()
        if self.broken or self.shut or self.deaf or len(self.data) < self.limit:
            self.writable.set_open()
        else:
            self.writable.set_closed()

    def put(self, octets: memoryview) -> int:
        """Take what there is room for; return how many bytes. A deaf reader's bytes are lost."""
        if self.deaf:
            return len(octets)
        count = min(len(octets), self.limit - len(self.data))
        self.data += octets[:count]
        return count

    def take(self, size: int, *, peek: bool) -> bytes:
        """Return up to `size` bytes, none at the end; raises `ConnectionResetError` once after a reset."""
        piece = bytes(self.data[:size])
        if not piece and size and self.error == errno.ECONNRESET:
            self.error = 0
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        if not peek:
            del self.data[:size]
        self.settle()
        return piece

    def end(self) -> None:
        """The writer will write no more: the reader sees the end behind what is there."""
        self.at_end = self.shut = True
        self.settle()

    def stop_reading(self) -> None:
        """The reader shut its side: it sees the end, and so does a unix socket's writer."""
        self.at_end = True
        self.broken = self.broken or not self.is_tcp
        self.settle()

    def drop(self) -> None:
        """The reader is gone: what is under way is lost."""
        self.data.clear()
        if self.is_tcp and not self.shut:
            self.deaf = True
        else:
            self.broken = True
        self.settle()

    def reset(self) -> None:
        """The writer is gone without an orderly end: the reader has an error pending."""
        in_order = self.is_tcp and self.shut
        self.error = errno.EPIPE if in_order else errno.ECONNRESET
        self.end()

    def refuse(self) -> None:
        """The reader is gone and the writer knows it: each send fails from now on."""
        self.deaf = False
        self.broken = True
        self.settle()
