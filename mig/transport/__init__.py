"""Where a stream goes or comes from: `tcp:`, `unix:`, `fd:`, `exec:` and `file:`, opened as a `Stream`.

Promises: `parse` is pure and refuses what it does not know; `connect` (to write a stream), `listen` and
`Listener.accept` (to read one) either give a blocking stream or raise `TransportError`, which names the
URI and says what to do. A socket file that was made is removed, a child process is reaped.
Assumes: the network is trusted, as QEMU's plain transports do; who gives a command wants it to be run.
Does not: encrypt, retry, or read and write the stream.

| URI | what it is |
|---|---|
| `tcp:HOST:PORT`, `tcp:[IPV6]:PORT` | a connection; port 0 chooses one when listening |
| `unix:PATH` | a Unix socket |
| `fd:N` | an open descriptor: a connected socket, a pipe or a file; the stream owns it from then on |
| `exec:COMMAND` | the standard input and output of `/bin/sh -c COMMAND`; a failing exit status is an error |
| `file:PATH[,offset=N]` | a file, whole or not there; with an offset what stands before it is kept |
"""

from __future__ import annotations

from mig.transport.address import PORT_MAX, UNIX_PATH_MAX, Address, TransportError, parse
from mig.transport.opening import Listener, connect, listen
from mig.transport.sockets import CONNECT_TIMEOUT
from mig.transport.stream import Delivered, Stream, two_way

__all__ = [
    "CONNECT_TIMEOUT",
    "PORT_MAX",
    "UNIX_PATH_MAX",
    "Address",
    "Delivered",
    "Listener",
    "Stream",
    "TransportError",
    "connect",
    "listen",
    "parse",
    "two_way",
]
