"""One client's socket: bytes in, lines out, neither ever waited for.

Promises: memory is bounded whatever the client does: a client that does not read is not read from, and
one that leaves `BACKLOG_MAX` lines unread is dropped, since it would miss events; a client that only
sends gets `TURN` messages carried out at a time.
Assumes: a non-blocking socket; every method is called by the monitor thread but `post`, which any
thread calls. Does not: wait for the socket (`mig.monitor.server`).

Lines go through one queue, so an event that comes before an answer is read before it.
"""

from __future__ import annotations

import selectors
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket

    from mig.monitor.session import Session

RECEIVE_BYTES: Final = 16 << 10
OUT_MAX: Final = 256 << 10
"""Unsent bytes from which on nothing more is read or carried out."""
BACKLOG_MAX: Final = 4096
"""Unsent lines with which a client is given up."""
TURN: Final = 32
"""Messages carried out before others have their turn."""


class Connection:
    """A connected client."""

    def __init__(self, sock: socket.socket, session: Session) -> None:
        self.ended = False
        """Whether there is nothing more to read or to write."""
        self.session = session
        self.subscribed = False
        """Whether events are told: from the answer to the negotiation on."""
        self._socket = sock
        self._lines: deque[bytes] = deque([session.greeting])
        self._out = bytearray()
        self._eof = False
        self._idle = True
        """Whether every whole message was answered."""

    def fileno(self) -> int:
        """The socket's descriptor."""
        return self._socket.fileno()

    def post(self, line: bytes) -> None:
        """Have a line sent, in order; from any thread, without waiting."""
        self._lines.append(line)

    @property
    def busy(self) -> bool:
        """Whether messages are left that could be carried out now."""
        return not self._idle and len(self._out) < OUT_MAX and not self.ended

    def interest(self) -> int:
        """What the socket is to be watched for: a mask of the selectors module, 0 for nothing."""
        mask = selectors.EVENT_WRITE if self._out else 0
        if self._idle and not self._eof and len(self._out) < OUT_MAX:
            mask |= selectors.EVENT_READ
        return mask

    def receive(self) -> None:
        """Take what came."""
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self.ended = True
            return
        self._eof = not data
        self.session.feed(data)
        self._idle = False

    def work(self) -> None:
        """Carry out some messages, send what the socket takes; find out whether it is over."""
        self.send()
        for _ in range(TURN):
            if not self.busy:
                break
            line = self.session.answer()
            if line is None:
                self._idle = True
            else:
                self.post(line)
                # Not sooner: a client waits for that answer, and takes nothing else for one.
                self.subscribed = self.session.negotiated
                self.send()
        if self._eof and self._idle and not self._out:
            self.ended = True

    def send(self) -> None:
        """Send as much as the socket takes."""
        if len(self._lines) > BACKLOG_MAX:
            self.ended = True
        while self._lines and len(self._out) < OUT_MAX:
            self._out += self._lines.popleft()
        try:
            while self._out and not self.ended:
                del self._out[: self._socket.send(self._out)]
        except BlockingIOError:
            pass
        except OSError:
            self.ended = True

    def close(self) -> None:
        """Close the socket."""
        self.ended = True
        self._socket.close()
