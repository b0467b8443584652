"""Migration URIs as values.

Promises: `parse` is pure; it refuses what it does not know with `TransportError`. Does not: open anything.
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PORT_MAX: Final = 65535
UNIX_PATH_MAX: Final = 107
"""Longest path in bytes of a Unix socket on Linux."""
FD_MAX: Final = 1 << 20
OFFSET_MAX: Final = 1 << 62
COMMAND_MAX: Final = 1 << 16
"""Longest command in bytes; Linux takes 128 KiB in one argument."""
_SYNTAX: Final = (
    "use tcp:HOST:PORT, tcp:[IPV6]:PORT, unix:PATH, fd:N, exec:COMMAND or file:PATH[,offset=N]"
)
_OFFSET: Final = re.compile(r"(0x[0-9a-f]{1,16}|[0-9]{1,19})([kmgt]?)", re.ASCII | re.IGNORECASE)
_UNITS: Final = {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}


class TransportError(Exception):
    """A URI that cannot be understood or opened: `uri`, `what` is wrong, `remedy`."""

    def __init__(self, uri: str, what: str, remedy: str) -> None:
        super().__init__(f"{uri}: {what}; {remedy}")
        self.uri = uri
        self.what = what
        self.remedy = remedy


class Address(NamedTuple):
    """A parsed URI: the fields that its scheme has; the others are empty or 0."""

    uri: str
    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""
    """Of a socket or a file."""
    fd: int = 0
    command: str = ""
    offset: int | None = None
    """Byte of the file at which the stream begins; None: the stream is the whole file."""

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


def _tcp(uri: str, rest: str) -> Address:
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


def _unix(uri: str, rest: str) -> Address:
    size = len(rest.encode(errors="surrogateescape"))
    if size > UNIX_PATH_MAX or "\0" in rest:
        raise TransportError(
            uri, f"a socket path of {size} bytes", f"use at most {UNIX_PATH_MAX} and no NUL"
        )
    return Address(uri, "unix", path=rest)


def _fd(uri: str, rest: str) -> Address:
    if not (rest.isascii() and rest.isdigit()) or int(rest[:10]) > FD_MAX:
        raise TransportError(uri, f"{rest!r} is no descriptor", f"use fd:N, N from 0 to {FD_MAX}")
    return Address(uri, "fd", fd=int(rest))


def _exec(uri: str, rest: str) -> Address:
    size = len(rest.encode(errors="surrogateescape"))
    if size > COMMAND_MAX or "\0" in rest or not rest.strip():
        raise TransportError(
            uri, f"a command of {size} bytes", f"use 1 to {COMMAND_MAX} and no NUL"
        )
    return Address(uri, "exec", command=rest)


def _file(uri: str, rest: str) -> Address:
    path, comma, number = rest.rpartition(",offset=")
    if not comma:
        path = rest
    if not path or "\0" in path:
        raise TransportError(uri, f"{path!r} is no path", _SYNTAX)
    if not comma:
        return Address(uri, "file", path=path)
    matched = _OFFSET.fullmatch(number)
    offset = int(matched[1], 0 if "x" in number.lower() else 10) if matched else OFFSET_MAX + 1
    if matched:
        offset <<= _UNITS[matched[2].lower()]
    if offset > OFFSET_MAX:
        raise TransportError(
            uri,
            f"{number!r} is no offset",
            f"use a number up to {OFFSET_MAX}, or one with K, M or G",
        )
    return Address(uri, "file", path=path, offset=offset)


_PARSERS: Final[Mapping[str, Callable[[str, str], Address]]] = {
    "tcp": _tcp,
    "unix": _unix,
    "fd": _fd,
    "exec": _exec,
    "file": _file,
}


def parse(uri: str) -> Address:
    """Split a URI; raises `TransportError` when it is not understood."""
    scheme, colon, rest = uri.partition(":")
    parser = _PARSERS.get(scheme)
    if parser is None or not colon or not rest:
        raise TransportError(uri, "this is no migration URI", _SYNTAX)
    return parser(uri, rest)
