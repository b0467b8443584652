"""The buffered file: producers append, one flusher writes to the socket.

Promises: bytes leave in the order of `append`, each once; after an error nothing more is written
and `error` keeps the first one; no method raises `OSError`. `append`, `buffered` and `limited`
never block; `flush` blocks as long as the socket does.
Assumes: one thread at a time flushes; `append` is called with the big lock held or by the thread
that flushes. `refill` is called by the flusher.
Does not: decide when to flush, or how long a window lasts: the design does.

Budget. `flush` writes while fewer than `limit` bytes were written in this window; `refill` opens
the next window. A `flush` whose budget is spent returns at once, without any operation: a loop that
flushes until the buffer is empty and does not refill never ends.

Source: QEMU 2dddf6f413 (append, then flush), bde54c08b4 (flush capped by the budget), dd217b8732
(blocking writes).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final, cast

from mig.transport.stream import Delivered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mig.tracepoints import Tracepoints
    from mig.transport.stream import Stream

PIECES: Final = 512
"""Most pieces given to one system call (Linux takes 1024)."""


class Channel:
    """Unsent bytes on their way into a connected, blocking stream, which the channel owns."""

    blocking = True
    """Whether a write waits until the stream takes something; see `wait_no_more`."""

    def __init__(self, sock: Stream, trace: Tracepoints, limit: int) -> None:
        self.lock = threading.Lock()
        self.limit = limit
        """Bytes that may be written in a window."""
        self.bytes_xfer = 0
        """Bytes written in this window."""
        self.appended = 0
        """Bytes ever appended."""
        self.written = 0
        """Bytes ever written."""
        self.error: OSError | None = None
        self.frozen = False
        """Whether the socket took nothing when it was last tried; only without `blocking`."""
        self.trace = trace
        self.socket = sock
        self._pieces: deque[bytes | memoryview] = deque()
        self._window_start = time.monotonic()
        self._window_written = 0

    @property
    def buffered(self) -> int:
        """Bytes appended and not yet written."""
        return self.appended - self.written

    def limited(self) -> bool:
        """Whether what was written and what waits use up the window's budget."""
        return self.bytes_xfer + self.buffered >= self.limit

    def append(self, pieces: Iterable[bytes]) -> None:
        """Take bytes to be written later."""
        with self.lock:
            if (listener := self.trace.listener) is not None:
                listener.access("channel", 0, 1, True)
            before = self.appended
            for piece in pieces:
                if piece:
                    self._pieces.append(piece)
                    self.appended += len(piece)
            added = self.appended - before
        if listener is not None:
            listener.event("append", bytes=added)

    def _take(self) -> list[bytes | memoryview]:
        """Pieces for one write, at most what the budget allows; empty when there are none."""
        room = self.limit - self.bytes_xfer
        taken: list[bytes | memoryview] = []
        with self.lock:
            if (listener := self.trace.listener) is not None:
                listener.access("channel", 0, 1, True)
            while self._pieces and room > 0 and len(taken) < PIECES:
                piece = self._pieces.popleft()
                if len(piece) > room:
                    view = memoryview(piece)
                    self._pieces.appendleft(view[room:])
                    piece = view[:room]
                taken.append(piece)
                room -= len(piece)
        return taken

    def _give_back(self, taken: list[bytes | memoryview], sent: int) -> None:
        """Put what a short write left back in front."""
        with self.lock:
            for piece in reversed(taken):
                self._pieces.appendleft(piece)
            while sent:
                piece = self._pieces.popleft()
                if len(piece) > sent:
                    self._pieces.appendleft(memoryview(piece)[sent:])
                    break
                sent -= len(piece)

    def flush(self, *, big_lock_held: bool = False) -> None:
        """Write until nothing waits, the window's budget is spent, the socket takes no more, or an error.

        `big_lock_held` is told to listeners: whether the caller blocks everyone meanwhile.
        """
        self.frozen = False
        while self.may_write():
            taken = self._take()
            size = sum(map(len, taken))
            if (listener := self.trace.listener) is not None:
                listener.event("write_begin", bytes=size, big_lock_held=big_lock_held)
            sent = self._write(taken)
            if listener is not None:
                listener.event("write_end", bytes=sent, big_lock_held=big_lock_held)
            self.written += sent
            self.bytes_xfer += sent
            if sent < size:
                self._give_back(taken, sent)

    def wait_no_more(self) -> None:
        """Have `flush` end, `frozen`, where a write would wait. Streams that are no sockets wait all the same."""
        self.blocking = isinstance(self.socket, Delivered)

    def may_write(self) -> bool:
        """Whether there is something to write, and nothing against it."""
        if self.error is not None or self.frozen:
            return False
        return self.appended != self.written and self.bytes_xfer < self.limit

    def _write(self, pieces: list[bytes | memoryview]) -> int:
        try:
            if self.blocking:
                return self.socket.sendmsg(pieces)
            return cast("socket.socket", self.socket).sendmsg(pieces, (), socket.MSG_DONTWAIT)
        except BlockingIOError:
            self.frozen = True
            return 0
        except OSError as error:
            self.fail(error)
            return 0

    def fail(self, error: OSError) -> None:
        """Record `error`, unless there was one before."""
        if self.error is None:
            self.error = error

    def window_age(self) -> float:
        """Seconds since the window opened."""
        return time.monotonic() - self._window_start

    def refill(self) -> float | None:
        """Open the next window; bytes per second that the socket took in the last one.

        None when no time passed.
        """
        now = time.monotonic()
        elapsed = now - self._window_start
        sent = self.written - self._window_written
        self._window_start, self._window_written = now, self.written
        self.bytes_xfer = 0
        return sent / elapsed if elapsed > 0 else None

    def abort(self, error: OSError) -> None:
        """Record `error` and make a blocked write return; from any thread."""
        self.fail(error)
        self.hang_up()

    @property
    def undoable(self) -> bool:
        """Whether what was written is as good as never written unless `deliver` succeeds."""
        return isinstance(self.socket, Delivered)

    def hang_up(self) -> None:
        """End both directions, whatever comes: who reads the socket finds its end."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def deliver(self) -> bool:
        """All is written: have it reach a disk, or a command that ends well; whether it did."""
        if isinstance(self.socket, Delivered):
            try:
                self.socket.deliver()
            except OSError as error:
                self.fail(error)
                return False
        return True

    def end(self) -> None:
        """Say that nothing more comes: the peer reads the end of the stream."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.fail(error)

    def close(self) -> None:
        """Close the socket."""
        with contextlib.suppress(OSError):
            self.socket.close()
