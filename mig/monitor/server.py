"""The monitor's thread: QMP on any number of addresses, one client at a time on each, as in QEMU.

Promises: neither a slow client nor a hostile one holds up the guest, the migration or the iothread:
no lock is held while a client's bytes are read, taken apart or written, and nothing waits for a
client. A second client of an address waits until the first has left.
Assumes: commands take the big lock themselves (`mig.machine`), and end.
Does not: authenticate: who can connect controls the machine.

The thread is its own, not the iothread: there a callback has the big lock from its first to its last
instruction, so that each message, however long or wrong, would be paid for by the vCPUs.
While a command waits (`stop`, for the vCPUs), the other addresses wait, too, as they do in QEMU.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
import time
from typing import TYPE_CHECKING, Final

from mig.monitor import messages
from mig.monitor.connection import Connection
from mig.monitor.session import Session
from mig.transport import TransportError, parse
from mig.transport.sockets import SocketListener

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mig.monitor.messages import Json
    from mig.monitor.session import Commands

REST: Final = 0.1
"""Seconds without accepting after a connection could not be accepted: no descriptor may be left."""
BACKLOG: Final = 16
"""Clients that may wait for the one that is served to leave."""
_WAKE_BYTES: Final = 4096


class _Address:
    """A listener and the client that has it."""

    def __init__(self, listener: SocketListener) -> None:
        self.listener = listener
        self.client: Connection | None = None
        self.rest_until = 0.0


def _listener(uri: str) -> SocketListener:
    address = parse(uri)
    if address.scheme not in {"tcp", "unix"}:
        raise TransportError(uri, "a monitor needs a socket", "use tcp:HOST:PORT or unix:PATH")
    return SocketListener(address, BACKLOG)


class Server:
    """Serves QMP on addresses `tcp:HOST:PORT` and `unix:PATH`.

    `uris` has them as a client gives them: a port 0 has become the port that was chosen. Raises
    `TransportError` for an address that is not understood or in use.
    """

    def __init__(self, commands: Commands, uris: Sequence[str], package: str) -> None:
        self._commands = commands
        self._package = package
        self._quit = False
        self._addresses: list[_Address] = []
        try:
            for uri in uris:
                self._addresses.append(_Address(_listener(uri)))
        except TransportError:
            self._close_all()
            raise
        self.uris = [address.listener.uri for address in self._addresses]
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._watched: dict[int, int] = {}
        """What the selector watches: descriptor to mask."""
        self.thread = threading.Thread(target=self.run, name="monitor", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self.thread.start()

    def post(self, name: str, data: Mapping[str, Json]) -> None:
        """Tell all clients an event; from any thread, without waiting."""
        line = messages.event(name, data, time.time())
        for address in self._addresses:
            client = address.client
            if client is not None and client.subscribed:
                client.post(line)
        self._wake()

    def close(self) -> None:
        """End the thread once its command is done; its answer is still sent. Not by a command itself."""
        self._quit = True
        self._wake()
        if self.thread.ident is not None:
            self.thread.join()
        self._close_all()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()

    def _close_all(self) -> None:
        for address in self._addresses:
            if address.client is not None:
                address.client.close()
            address.listener.close()

    def _wake(self) -> None:
        # A full pipe wakes the thread as well; a closed one has no thread to wake.
        with contextlib.suppress(OSError):
            self._wake_in.send(b"!")

    # --- the thread ---------------------------------------------------------------------------------

    def run(self) -> None:
        """Body of the thread: serve until `close`."""
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        while not self._quit:
            for address in self._addresses:
                self._watch(address)
            ready = {key.fd for key, _ in self._selector.select(self._timeout())}
            if self._wake_out.fileno() in ready:
                self._drain()
            for address in self._addresses:
                self._serve(address, ready)
        for address in self._addresses:
            if address.client is not None:
                address.client.send()

    def _watch(self, address: _Address) -> None:
        client = address.client
        if client is None:
            resting = address.rest_until > time.monotonic()
            self._set(address.listener.fileno(), 0 if resting else selectors.EVENT_READ)
        else:
            self._set(client.fileno(), client.interest())

    def _set(self, fd: int, mask: int) -> None:
        if self._watched.get(fd, 0) == mask:
            return
        if fd not in self._watched:
            self._selector.register(fd, mask)
        elif mask:
            self._selector.modify(fd, mask)
        else:
            self._selector.unregister(fd)
        self._watched[fd] = mask
        if not mask:
            del self._watched[fd]

    def _timeout(self) -> float | None:
        """Seconds to wait at most; None without limit."""
        if any(address.client is not None and address.client.busy for address in self._addresses):
            return 0.0
        resting = [address.rest_until for address in self._addresses if address.client is None]
        now = time.monotonic()
        return min((end - now for end in resting if end > now), default=None)

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_out.recv(_WAKE_BYTES)

    def _serve(self, address: _Address, ready: set[int]) -> None:
        client = address.client
        if client is None:
            if address.listener.fileno() in ready:
                self._accept(address)
            return
        readable = client.interest() & selectors.EVENT_READ
        if client.fileno() in ready and readable:
            client.receive()
        client.work()
        if client.ended:
            self._set(client.fileno(), 0)
            address.client = None
            client.close()

    def _accept(self, address: _Address) -> None:
        try:
            sock = address.listener.accept(0.0)
        except TransportError:
            address.rest_until = time.monotonic() + REST
            return
        sock.setblocking(False)
        self._set(address.listener.fileno(), 0)
        address.client = Connection(sock, Session(self._commands, self._package))
        address.client.work()
