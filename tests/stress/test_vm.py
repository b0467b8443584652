"""`stage3 vm` as processes: two of them and a client, signals, a guest that does not arrive, bad input."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mig import transport
from stress.cli import main
from tests.mig.machines import WAIT
from tests.mig.monitored import client

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Iterator


@contextlib.contextmanager
def process(*words: str) -> Iterator[subprocess.Popen[str]]:
    """A `stage3 vm`, killed at the end if it still runs."""
    child = subprocess.Popen(
        [sys.executable, "-m", "stress.cli", "vm", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def said(child: subprocess.Popen[str], name: str) -> str:
    """The address after `name:` in the next line that the process prints."""
    assert child.stdout is not None
    line = child.stdout.readline().strip()
    assert line.startswith(f"{name}: "), line
    return line.partition(": ")[2]


@pytest.mark.slow
def test_two_processes(tmp_path: pathlib.Path) -> None:
    """A guest that writes moves from one process to the other, both end on `quit`, and nothing is left."""

    async def session(near_uri: str, far_uri: str, uri: str) -> None:
        async with client(near_uri) as near, client(far_uri) as far:
            await near.switch("events")
            await near.do("migrate", uri=uri)
            info = await near.until("completed", "failed")
            assert "completed" == info["status"], info
            await far.until("completed")
            assert (await far.query("status"))["running"]
            assert ["setup", "active", "STOP", "completed"] == await near.told("completed")
            for qmp in (near, far):
                await qmp.do("quit")
                assert "SHUTDOWN" in await qmp.told("SHUTDOWN")

    qmp = f"unix:{tmp_path}/qmp"
    with (
        process("--qmp", f"{qmp},server=on,wait=off", "--ram", "1M") as source,
        process("--qmp", "tcp:127.0.0.1:0", "--incoming", f"unix:{tmp_path}/m", "--ram", "1M") as destination,
    ):  # fmt: skip
        near, far = said(source, "QMP"), said(destination, "QMP")
        asyncio.run(session(near, far, said(destination, "incoming")))

        assert (0, 0) == (source.wait(WAIT), destination.wait(WAIT))
        assert [] == list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("role", ["source", "destination"])
def test_sigterm(tmp_path: pathlib.Path, role: str) -> None:
    """SIGTERM ends it with 0, whatever it waits for; its socket files are gone."""
    more = [] if role == "source" else ["--incoming", f"unix:{tmp_path}/m"]
    with process("--qmp", f"unix:{tmp_path}/qmp", *more) as child:
        said(child, "QMP")
        os.kill(child.pid, signal.SIGTERM)

        assert 0 == child.wait(WAIT)
        assert [] == list(tmp_path.iterdir())


@pytest.mark.slow
def test_incoming_that_fails(tmp_path: pathlib.Path) -> None:
    """What is no stream ends the process with 1 and one line."""
    with process("--qmp", f"unix:{tmp_path}/q", "--incoming", f"unix:{tmp_path}/m") as child:
        said(child, "QMP")
        stream = transport.connect(said(child, "incoming"))
        stream.sendall(b"GET / HTTP/1.0\r\n\r\n")
        stream.close()

        _, errors = child.communicate(timeout=WAIT)
        assert 1 == child.returncode
        assert errors.startswith("stage3 vm: the incoming migration failed: ")
        assert 1 == errors.count("\n")


@pytest.mark.parametrize(
    ("words", "said_why"),
    [
        ([], "--qmp"),
        (["--qmp", "exec:true"], "a monitor needs a socket"),
        (["--qmp", "unix:/nonexistent/q"], "cannot listen"),
        (["--qmp", "unix:{}/q", "--incoming", "bogus:1"], "this is no migration URI"),
        (["--qmp", "unix:{}/q", "--ram", "5000"], "5000 bytes of RAM"),
        (["--qmp", "unix:{}/q", "--vcpus", "-1"], "vcpus -1"),
        (["--qmp", "unix:{}/q", "--design", "nonsense"], "unknown design 'nonsense'"),
        (["--qmp", "unix:{}/q", "--image", "/nonexistent"], "cannot be read"),
    ],
)
def test_bad_input(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str], words: list[str], said_why: str
) -> None:
    """Bad input is refused with 2 and one line, and nothing is left."""
    assert 2 == main(["vm", *(word.format(tmp_path) for word in words)])

    errors = capsys.readouterr().err
    assert said_why in errors
    assert 1 == errors.count("\n")
    assert [] == list(tmp_path.iterdir())
