"""Opening a URI: `connect` to write a stream, `listen` and `accept` to read one.

Promises and assumptions: those of `mig.transport`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mig.transport import files, sockets
from mig.transport.address import parse
from mig.transport.commands import CommandStream
from mig.transport.sockets import CONNECT_TIMEOUT, SocketListener

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from mig.transport.stream import Stream


def connect(uri: str, timeout: float = CONNECT_TIMEOUT) -> Stream:
    """A blocking stream to be written to `uri`; a connection attempt may last `timeout` seconds.

    Raises `TransportError`.
    """
    address = parse(uri)
    match address.scheme:
        case "fd":
            return files.from_descriptor(address, "write")
        case "file":
            return files.open_target(address)
        case "exec":
            return CommandStream(address, "write")
        case _:
            return sockets.connect(address, timeout)


class Listener:
    """Waits for one source.

    `uri` is the address to give to the source: a port 0 has become the port that was chosen. Only
    sockets are opened here; a descriptor, a command and a file are when the source is waited for. Use
    it as a context manager, or call `close`.
    """

    def __init__(self, uri: str) -> None:
        self.address = parse(uri)
        self.uri = uri
        self._sockets: SocketListener | None = None
        if self.address.scheme in {"tcp", "unix"}:
            self._sockets = SocketListener(self.address)
            self.uri = self._sockets.uri

    def accept(self, timeout: float | None = None) -> Stream:
        """The source's stream, blocking; raises `TransportError`, for a socket after `timeout` seconds."""
        if self._sockets is not None:
            return self._sockets.accept(timeout)
        match self.address.scheme:
            case "fd":
                return files.from_descriptor(self.address, "read")
            case "file":
                return files.open_source(self.address)
            case _:
                return CommandStream(self.address, "read")

    def interrupt(self) -> None:
        """Have a thread that waits in `accept` for a connection return with an error; from any thread."""
        if self._sockets is not None:
            self._sockets.interrupt()

    def close(self) -> None:
        """Stop listening and remove the socket file. May be called again."""
        if self._sockets is not None:
            self._sockets.close()

    def __enter__(self) -> Self:
        """The listener itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()


def listen(uri: str) -> Listener:
    """Listen on `uri`; raises `TransportError`."""
    return Listener(uri)
