"""What no schedule controls is carried out and said; waiting for sockets is modelled whichever way it is asked for."""

from __future__ import annotations

import os
import select
import selectors
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from verify import RandomWalk, explore
from verify.explore import Verdict
from verify.program import of


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
