"""`tcp:` and `unix:`: plain blocking sockets.

Promises: as `mig.transport`; a connection attempt ends after its time limit.
"""

from __future__ import annotations

import contextlib
import pathlib
import socket
from typing import TYPE_CHECKING, Final

from mig.transport.address import TransportError

if TYPE_CHECKING:
    from mig.transport.address import Address

CONNECT_TIMEOUT: Final = 30.0
"""Seconds after which a connection attempt is given up."""


def reason(error: OSError) -> str:
    """What an operating system error says, in a few words."""
    return error.strerror or str(error) or type(error).__name__


def _no_delay(sock: socket.socket, address: Address) -> None:
    if address.scheme == "tcp":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def connect(address: Address, timeout: float) -> socket.socket:
    """A blocking socket connected to `address`; the attempt may last `timeout` seconds."""
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(address.target)
        sock.settimeout(None)
        _no_delay(sock, address)
    except OSError as error:
        sock.close()
        remedy = "start the destination first, and give its address"
        raise TransportError(address.uri, f"cannot connect ({reason(error)})", remedy) from None
    return sock


class SocketListener:
    """A listening socket; `uri` has the port that was chosen, `backlog` may wait to be accepted."""

    def __init__(self, address: Address, backlog: int = 1) -> None:
        self.address = address
        self.uri = address.uri
        self._bound = False
        self._socket = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            if address.scheme == "tcp":
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(address.target)
            self._bound = True
            self._socket.listen(backlog)
        except OSError as error:
            self.close()
            remedy = "choose another port or path, or end the program that uses it"
            raise TransportError(self.uri, f"cannot listen ({reason(error)})", remedy) from None
        if address.scheme == "tcp":
            self.uri = f"{self.uri.rpartition(':')[0]}:{self._socket.getsockname()[1]}"

    def accept(self, timeout: float | None) -> socket.socket:
        """The source's connection, blocking; raises `TransportError` after `timeout` seconds."""
        self._socket.settimeout(timeout)
        try:
            sock, _ = self._socket.accept()
        except OSError as error:
            remedy = "start the source with this address"
            raise TransportError(self.uri, f"no source came ({reason(error)})", remedy) from None
        sock.settimeout(None)
        _no_delay(sock, self.address)
        return sock

    def fileno(self) -> int:
        """The listening socket's descriptor, to wait for."""
        return self._socket.fileno()

    def interrupt(self) -> None:
        """Have a thread that waits in `accept`, or comes to it, find that no source came; from any thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening and remove the socket file. May be called again."""
        self._socket.close()
        if self._bound and self.address.scheme == "unix":
            self._bound = False
            with contextlib.suppress(FileNotFoundError):
                pathlib.Path(self.address.path).unlink()
