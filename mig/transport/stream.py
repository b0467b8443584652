"""What a migration stream is carried by: a blocking socket, or what behaves like one.

Promises: names only. Every `socket.socket` is a `Stream`. `shutdown(SHUT_RDWR)` from any thread makes
blocked calls of other threads return or raise `OSError`; `close` may be called again.
Does not: any I/O of its own.
"""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable


class Stream(Protocol):
    """A connected, blocking byte stream. Errors are `OSError`."""

    def fileno(self) -> int:
        """The descriptor, to wait for."""

    def recv(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""

    def sendmsg(self, buffers: Iterable[bytes | memoryview], /) -> int:
        """Write the pieces one after the other; how many bytes were taken."""

    def sendall(self, data: bytes, /) -> None:
        """Write everything."""

    def shutdown(self, how: int, /) -> None:
        """`SHUT_WR`: nothing more comes. `SHUT_RDWR`: give up, and wake who is blocked."""

    def close(self) -> None:
        """Give it up."""


class Delivered(abc.ABC):
    """A stream whose bytes are not where they belong before `deliver` returned.

    Closed without it, what was written is as good as never written.
    """

    @abc.abstractmethod
    def deliver(self) -> None:
        """Finish and wait for the result; raises `OSError`. Once, after the last byte."""


class OneWay:
    """A stream on which no answer can come back."""


def two_way(stream: Stream) -> bool:
    """Whether an answer can come back on `stream`."""
    return not isinstance(stream, OneWay)
