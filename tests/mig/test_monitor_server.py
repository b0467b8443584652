"""The monitor's thread on real sockets: turns, slow clients, hostile ones, its end."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from mig.monitor import connection
from mig.monitor.server import Server
from mig.transport import TransportError, listen, parse
from mig.transport.sockets import connect
from tests.mig.machines import WAIT

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator
    from typing import BinaryIO

    from mig.monitor.messages import Json

HELLO = b'{"execute": "qmp_capabilities"}\n'
ECHO = b'{"execute": "echo"}\n'


class Slow:
    """Commands: `wait` waits for `go`, all others answer at once."""

    def __init__(self) -> None:
        self.waiting = threading.Event()
        self.go = threading.Event()

    def execute(self, name: str, arguments: dict[str, Json]) -> Json:
        """Answer."""
        if name == "wait":
            self.waiting.set()
            self.go.wait(WAIT)
        return name


class Client:
    """A client that reads lines."""

    def __init__(self, uri: str) -> None:
        self.socket = connect(parse(uri), WAIT)
        self.socket.settimeout(WAIT)
        self.file: BinaryIO = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(data)

    def line(self) -> dict[str, Json]:
        """The next line; empty at the end."""
        got = self.file.readline()
        return json.loads(got) if got else {}

    def hello(self) -> None:
        """Read the greeting and negotiate."""
        assert "QMP" in self.line()
        self.send(HELLO)
        assert {"return": {}} == self.line()

    def close(self) -> None:
        """Go away."""
        self.file.close()
        self.socket.close()


@contextlib.contextmanager
def serving(*uris: str) -> Iterator[tuple[Server, Slow]]:
    """A server with `Slow` commands, ended at the end."""
    commands = Slow()
    server = Server(commands, uris, "test")
    server.start()
    try:
        yield server, commands
    finally:
        commands.go.set()
        server.close()
        assert not server.thread.is_alive()


@pytest.fixture
def unix(tmp_path: pathlib.Path) -> str:
    """An address."""
    return f"unix:{tmp_path}/qmp"


def test_one_client_at_a_time(unix: str) -> None:
    """A second client of an address is greeted when the first has left; other addresses have their own."""
    with serving(unix, "tcp:127.0.0.1:0") as (server, _):
        first, second, other = Client(unix), Client(unix), Client(server.uris[1])
        first.hello()
        other.hello()
        second.socket.settimeout(0.05)
        with pytest.raises(TimeoutError):
            second.socket.recv(1)
        second.socket.settimeout(WAIT)

        first.close()

        assert b"Q" in second.socket.recv(3)
        second.close()
        other.close()


def test_events_for_negotiated(unix: str) -> None:
    """An event goes to clients that have negotiated, before the answers that come later."""
    with serving(unix) as (server, _):
        client = Client(unix)
        client.line()
        server.post("LOST", {})
        client.send(HELLO)
        assert {"return": {}} == client.line()

        server.post("MIGRATION", {"status": "setup"})
        client.send(ECHO)

        first, second = client.line(), client.line()
        assert ("MIGRATION", {"status": "setup"}) == (first["event"], first["data"])
        assert {"return": "echo"} == second
        client.close()


def test_event_while_a_command_waits(unix: str) -> None:
    """An event that comes while a command waits is told, and its answer after it."""
    with serving(unix) as (server, commands):
        client = Client(unix)
        client.hello()
        client.send(b'{"execute": "wait"}\n')
        assert commands.waiting.wait(WAIT)

        server.post("STOP", {})
        commands.go.set()

        assert "STOP" == client.line()["event"]
        assert {"return": "wait"} == client.line()
        client.close()


def test_client_that_does_not_read(unix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who leaves events unread is dropped; who sends without reading is not read from; others are served."""
    monkeypatch.setattr(connection, "OUT_MAX", 4096)
    monkeypatch.setattr(connection, "BACKLOG_MAX", 64)
    with serving(unix, "tcp:127.0.0.1:0") as (server, _):
        deaf, other = Client(unix), Client(server.uris[1])
        deaf.hello()
        other.hello()
        deaf.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                deaf.socket.send(ECHO * 500)
        other.send(ECHO)
        assert {"return": "echo"} == other.line()

        for _ in range(200):
            server.post("STOP", {"why": "x" * 100})

        deaf.socket.setblocking(True)
        deaf.socket.settimeout(WAIT)
        with contextlib.suppress(ConnectionResetError):
            while deaf.socket.recv(1 << 16):
                pass
        again = Client(unix)
        again.hello()
        for client in (deaf, other, again):
            client.close()


def test_many_messages_and_end_of_file(unix: str) -> None:
    """All messages sent before the client closed its side are answered, then the server closes, too."""
    with serving(unix) as _:
        client = Client(unix)
        client.send(HELLO + ECHO * 300)
        client.socket.shutdown(socket.SHUT_WR)

        lines = client.file.readlines()

        assert 302 == len(lines)
        client.close()


def test_rubbish(unix: str) -> None:
    """A client that sends rubbish and goes away harms nobody."""
    with serving(unix) as _:
        for rubbish in (b"\xff" * 5000, b"[" * 100_000, b'{"a":"' + b"x" * 200_000, b"\0"):
            hostile = Client(unix)
            with contextlib.suppress(OSError):
                hostile.send(rubbish)
            hostile.close()

        client = Client(unix)
        client.hello()
        client.close()


def test_close_with_client(unix: str, tmp_path: pathlib.Path) -> None:
    """Closing ends the thread, the client's connection and the socket file."""
    with serving(unix) as _:
        client = Client(unix)
        client.hello()

    assert {} == client.line()
    assert [] == list(tmp_path.iterdir())
    client.close()


def test_address_in_use(unix: str) -> None:
    """An address that is in use is refused, and nothing is left of the others."""
    with (
        serving(unix) as _,
        pytest.raises(TransportError, match="cannot listen"),
    ):
        Server(Slow(), [f"{unix}2", unix], "test")

    listen(f"{unix}2").close()
