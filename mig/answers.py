"""The return path at the destination: what it says to the source.

Promises: nothing is said before the source opened the path; PING by PING is answered in order; the end is
said once. What a stage3 is asked at the head of the stream it answers as `mig.return_path` says.
Assumes: one thread, and a source that reads, or a stream that holds the few bytes.
Does not: hear anything: the stream is read by who loads it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from mig.ram_load import LoadError
from mig.return_path import HELLO, OWN
from mig.transport import two_way
from mig.wire_return import Pong, Shut, encode

if TYPE_CHECKING:
    from mig.transport import Stream


class Answers:
    """The answers on one stream."""

    def __init__(self, stream: Stream) -> None:
        self.open = False
        """Whether the source listens."""
        self._stream = stream
        self._ended = False

    def begin(self) -> None:
        """The source listens from now on; raises `LoadError` where no answer can come back."""
        if self.open:
            raise LoadError("the source opens the return path twice", "migrate again")
        if not two_way(self._stream):
            raise LoadError(
                "the source asks for answers, and this stream goes one way only",
                "migrate without return-path, or through a socket",
            )
        self.open = True

    def pong(self, value: int) -> None:
        """Answer a PING; raises `OSError`, or `LoadError` before the path is open."""
        if not self.open:
            raise LoadError(
                f"the source asks (PING {value}) before it opened the return path", "migrate again"
            )
        greeting = encode(Pong(OWN)) if value == HELLO else b""
        self._stream.sendall(greeting + encode(Pong(value)))

    def end(self, status: int) -> None:
        """Say how it ended, 0: the guest is taken over; a source that is gone need not hear it."""
        if self.open and not self._ended:
            self._ended = True
            with contextlib.suppress(OSError):
                self._stream.sendall(encode(Shut(status)))
