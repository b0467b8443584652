"""Where a stream goes: `tcp:host:port` and `unix:path`, opened as plain blocking sockets.

Promises: `parse` is pure and refuses what it does not know; `connect`, `listen` and `accept` either
give a blocking socket or raise `TransportError` that names the URI and what to do; a listener
removes the socket file it made.
Assumes: the network is trusted, as QEMU's plain transports do.
Does not: encrypt, retry, or read and write the stream.
"""

from __future__ import annotations

import contextlib
import pathlib
import socket
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

PORT_MAX: Final = 65535
UNIX_PATH_MAX: Final = 107
"""Longest path in bytes of a Unix socket on Linux."""
CONNECT_TIMEOUT: Final = 30.0
"""Seconds after which a connection attempt is given up."""
_SYNTAX: Final = "use tcp:HOST:PORT, tcp:[IPV6]:PORT or unix:PATH"


class TransportError(Exception):
    """A URI that cannot be understood or opened: `uri`, `what` is wrong, `remedy`."""

    def __init__(self, uri: str, what: str, remedy: str) -> None:
        super().__init__(f"{uri}: {what}; {remedy}")
        self.uri = uri
        self.what = what
        self.remedy = remedy


class Address(NamedTuple):
    """A parsed URI: `host` and `port` for tcp, `path` for unix (the other fields are empty)."""

    uri: str
    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    @property
    def family(self) -> socket.AddressFamily:
        """Address family of its sockets."""
        if self.scheme == "unix":
            return socket.AF_UNIX
        return socket.AF_INET6 if ":" in self.host else socket.AF_INET

    @property
    def target(self) -> str | tuple[str, int]:
        """What `bind` and `connect` take."""
        return self.path if self.scheme == "unix" else (self.host, self.port)


def _parse_tcp(uri: str, rest: str) -> Address:
    host, colon, port = rest.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit():
        raise TransportError(uri, f"{port!r} is no port number", _SYNTAX)
    if int(port[:10]) > PORT_MAX:
        raise TransportError(uri, f"port {port} is too large", f"use 0 to {PORT_MAX}")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise TransportError(uri, f"{host!r} is no host name", _SYNTAX)
    return Address(uri, "tcp", host or "127.0.0.1", int(port))


def parse(uri: str) -> Address:
    """Split a URI; raises `TransportError` when it is not understood."""
    scheme, colon, rest = uri.partition(":")
    if scheme == "tcp" and colon:
        return _parse_tcp(uri, rest)
    if scheme != "unix" or not rest:
        raise TransportError(uri, "this is no migration URI", _SYNTAX)
    size = len(rest.encode(errors="surrogateescape"))
    if size > UNIX_PATH_MAX or "\0" in rest:
        raise TransportError(
            uri, f"a socket path of {size} bytes", f"use at most {UNIX_PATH_MAX} and no NUL"
        )
    return Address(uri, "unix", path=rest)


def _no_delay(sock: socket.socket, address: Address) -> None:
    if address.scheme == "tcp":
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def connect(uri: str, timeout: float = CONNECT_TIMEOUT) -> socket.socket:
    """A blocking socket connected to `uri`; the attempt may last `timeout` seconds.

    Raises `TransportError`.
    """
    address = parse(uri)
    sock = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(address.target)
        sock.settimeout(None)
        _no_delay(sock, address)
    except OSError as error:
        sock.close()
        reason = error.strerror or str(error) or type(error).__name__
        remedy = "start the destination first, and give its address"
        raise TransportError(uri, f"cannot connect ({reason})", remedy) from None
    return sock


class Listener:
    """A socket that waits for one source.

    `uri` is the address to give to the source: a port 0 has become the port that was chosen. Use
    it as a context manager, or call `close`.
    """

    def __init__(self, uri: str) -> None:
        self.address = parse(uri)
        self.uri = uri
        self._bound = False
        self._socket = socket.socket(self.address.family, socket.SOCK_STREAM)
        try:
            if self.address.scheme == "tcp":
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind(self.address.target)
            self._bound = True
            self._socket.listen(1)
        except OSError as error:
            self.close()
            reason = error.strerror or str(error) or type(error).__name__
            remedy = "choose another port or path, or end the program that uses it"
            raise TransportError(uri, f"cannot listen ({reason})", remedy) from None
        if self.address.scheme == "tcp":
            self.uri = f"{uri.rpartition(':')[0]}:{self._socket.getsockname()[1]}"

    def accept(self, timeout: float | None = None) -> socket.socket:
        """The source's connection, blocking; raises `TransportError` after `timeout` seconds."""
        self._socket.settimeout(timeout)
        try:
            sock, _ = self._socket.accept()
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            remedy = "start the source with this address"
            raise TransportError(self.uri, f"no source came ({reason})", remedy) from None
        sock.settimeout(None)
        _no_delay(sock, self.address)
        return sock

    def close(self) -> None:
        """Stop listening and remove the socket file. May be called again."""
        self._socket.close()
        if self._bound and self.address.scheme == "unix":
            self._bound = False
            with contextlib.suppress(FileNotFoundError):
                pathlib.Path(self.address.path).unlink()

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
