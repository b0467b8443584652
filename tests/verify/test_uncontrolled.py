"""What no schedule controls is carried out and said; waiting for sockets is modelled whichever way it is asked for."""

from __future__ import annotations

import os
import select
import selectors
import socket
import socketserver
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from verify import RandomWalk, explore
from verify.explore import Verdict
from verify.primitives import uncontrolled
from verify.program import of

if TYPE_CHECKING:
    from collections.abc import Callable


def files_and_processes() -> None:
    Path(os.devnull).read_bytes()
    run = subprocess.run(
        [sys.executable, "-c", "print(6 * 7)"], capture_output=True, text=True, check=True
    )
    assert run.stdout == "42\n"


def test_files_and_processes_pass_through_and_are_noted() -> None:
    """Opening a file and running a process work, and the result says that nothing controls them."""
    state = explore(of(files_and_processes), RandomWalk(1), executions=2)

    assert Verdict.NOT_FOUND == state.verdict
    messages = sorted(note.finding.message for note in state.notes.values())
    assert ["open()", "selectors.select on files", "subprocess.run"] == [
        message.partition(" calls ")[2].partition(" at ")[0] for message in messages
    ]
    assert all("test_uncontrolled.py" in message for message in messages)


def noted(body: Callable[[], object]) -> list[str]:
    state = explore(of(body), RandomWalk(1), executions=1)

    assert Verdict.NOT_FOUND == state.verdict, state.groups
    return sorted(note.finding.key[0] for note in state.notes.values())


def test_processes_started_directly() -> None:
    """A process that the program starts by Popen is noted as that, whichever class of it."""

    class Own(subprocess.Popen[bytes]):
        pass

    def body() -> None:
        for kind in (subprocess.Popen, Own):
            with kind(["true"]) as process:
                assert 0 == process.wait()

    assert ["subprocess.Popen"] == [what for what in noted(body) if "subprocess" in what]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("site-packages/thing.py", ["open()"]),
        ("dist-packages/thing.py", ["open()"]),
        ("thing.py", []),
        ("site-packages/_pytest/assertion/rewrite.py", []),
    ],
)
def test_installed_programs(name: str, expected: list[str]) -> None:
    """What is installed below the standard library is a program like any other; it and an import hook are not."""
    names: dict[str, Callable[[], object]] = {}
    text = "import os\ndef body():\n    open(os.devnull).close()\n"
    exec(compile(text, f"{uncontrolled.STDLIB}{name}", "exec"), names)  # noqa: S102 - a file of that name

    assert expected == noted(names["body"])


class Shouts(socketserver.BaseRequestHandler):
    """Answers in capitals."""

    def handle(self) -> None:
        """Answer one request."""
        self.request.sendall(self.request.recv(9).upper())


def test_servers_are_modelled() -> None:
    """A server of `socketserver`, which a selector watches by its `fileno`, serves inside a check."""

    def body() -> None:
        with socketserver.TCPServer(("127.0.0.1", 0), Shouts) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            with socket.create_connection(("127.0.0.1", server.server_address[1])) as near:
                near.sendall(b"hello")
                assert near.recv(9) == b"HELLO"
            server.shutdown()
            thread.join()

    assert [] == noted(body)


def test_what_a_selector_says_of_a_server() -> None:
    """The key holds the object as it was given, and it is found again once the server is closed."""

    def body() -> None:
        with selectors.DefaultSelector() as selector:
            server = socketserver.TCPServer(("127.0.0.1", 0), Shouts)
            key = selector.register(server, selectors.EVENT_READ, "data")
            assert key.fileobj is server
            assert key == selector.get_key(server) == selector.get_key(key.fd)
            assert ([], [], []) == select.select([server], [], [], 0)
            polled = select.poll()
            polled.register(server, select.POLLIN)
            assert [] == polled.poll(0)
            server.server_close()
            assert key == selector.unregister(server)
            with pytest.raises(KeyError, match="not registered"):
                selector.get_key(server)

    assert [] == noted(body)


def test_keys_of_real_files() -> None:
    """A selector that watches real files knows their keys."""

    def body() -> None:
        reading, writing = os.pipe()
        with selectors.DefaultSelector() as selector:
            key = selector.register(reading, selectors.EVENT_READ, "data")
            assert key == selector.get_key(reading)
        os.close(reading)
        os.close(writing)

    assert ["selectors.select on files"] == noted(body)


def test_select_on_sockets_is_modelled() -> None:
    """select.select waits for modelled sockets, in both directions, with time-outs in virtual time."""

    def body() -> None:
        near, far = socket.socketpair()
        assert select.select([far], [], [], 3600) == ([], [], [])
        assert select.select([far], [near], [], 0) == ([], [near], [])
        thread = threading.Thread(target=near.send, args=(b"x",))
        thread.start()
        assert select.select([far, near], [], []) == ([far], [], [])
        thread.join()

    assert Verdict.NOT_FOUND == explore(of(body), RandomWalk(1), executions=50).verdict


def test_a_select_that_nobody_ends_is_a_hang() -> None:
    """A task that selects for ever on a silent socket is found."""

    def body() -> None:
        _, far = socket.socketpair()
        select.select([far], [], [])

    (group,) = explore(of(body), RandomWalk(1), executions=2).groups.values()

    assert group.finding.cause == "blocked for ever"


def test_sockets_and_files_do_not_mix() -> None:
    """A selector that watches a modelled socket refuses a real file, by name."""

    def body() -> None:
        near, _ = socket.socketpair()
        with selectors.DefaultSelector() as selector, Path(os.devnull).open() as file:
            selector.register(near, selectors.EVENT_READ)
            with pytest.raises(ValueError, match="not a socket made inside the check"):
                selector.register(file, selectors.EVENT_READ)

    assert Verdict.NOT_FOUND == explore(of(body), RandomWalk(1), executions=2).verdict
