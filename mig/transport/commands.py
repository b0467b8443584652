"""`exec:`: the standard input and output of a command.

Promises: the command runs in a session of its own by `/bin/sh -c`, both its ends one socket, so that an
answer can come back; it is reaped when the stream is closed. A failing exit status is an `OSError`: of
`deliver` for who writes, of the last `recv` for who reads. Who gives up ends the whole session.
Assumes: the command reads or writes until the end of the stream, then ends.
Does not: interpret what the command prints to standard error, which is that of this process.

`/dev/stdin` and `/dev/stdout` cannot be opened by name in the command: they are a socket.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import subprocess
import threading
from typing import TYPE_CHECKING, Final

from mig.transport.address import TransportError
from mig.transport.sockets import reason
from mig.transport.stream import Delivered

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mig.transport.address import Address
    from mig.transport.files import Way

GRACE: Final = 2.0
"""Seconds that a command has to end by itself, and after it was told to."""


class CommandStream(Delivered):
    """A running command as a stream."""

    def __init__(self, address: Address, way: Way) -> None:
        self._command = address.command
        self._way = way
        self._lock = threading.Lock()
        self._socket, far = socket.socketpair()
        try:
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", address.command],
                stdin=far.fileno(),
                stdout=far.fileno(),
                start_new_session=True,
            )
        except OSError as error:
            self._socket.close()
            what = f"cannot run /bin/sh ({reason(error)})"
            raise TransportError(address.uri, what, "see that more processes are allowed") from None
        finally:
            far.close()

    def fileno(self) -> int:
        """The descriptor of this end."""
        return self._socket.fileno()

    def recv(self, size: int, /) -> bytes:
        """At most `size` bytes; at the end empty, or `OSError` when the command failed."""
        data = self._socket.recv(size)
        if not data:
            self._reap()
        return data

    def sendmsg(self, buffers: Iterable[bytes | memoryview], /) -> int:
        """Write the pieces; a command that ended before shows its exit status in the error."""
        try:
            return self._socket.sendmsg(buffers)
        except (BrokenPipeError, ConnectionResetError):
            self._reap()
            raise

    def sendall(self, data: bytes, /) -> None:
        """Write everything."""
        self._socket.sendall(data)

    def shutdown(self, how: int, /) -> None:
        """Nothing more comes; or give up: the command is told before it sees an end of its input."""
        if how == socket.SHUT_RDWR:
            self._signal(signal.SIGTERM)
        self._socket.shutdown(how)

    def deliver(self) -> None:
        """Let the command see the end of its input, and wait for it."""
        self._socket.shutdown(socket.SHUT_WR)
        self._reap()

    def _reap(self) -> None:
        """Wait for the exit status; raises `OSError` unless it is 0."""
        status = self._process.wait()
        if status:
            how = f"exit status {status}" if status > 0 else f"signal {-status}"
            raise OSError(errno.EPIPE, f"the command {self._command!r} ended with {how}")

    def _signal(self, number: int) -> None:
        """Signal the command's session; not after it was reaped, when its number is another's."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self._process.poll() is None:
                os.killpg(self._process.pid, number)

    def _ended(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        """Close this end and reap the command; one that does not end by itself is ended.

        A writer that was not delivered ends it at once: its command must not take the end for whole.
        """
        if self._way == "write" and self._process.poll() is None:
            self._signal(signal.SIGTERM)
        self._socket.close()
        if self._ended(GRACE):
            return
        self._signal(signal.SIGTERM)
        if not self._ended(GRACE):
            self._signal(signal.SIGKILL)
            self._process.wait()
