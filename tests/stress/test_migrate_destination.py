"""The destination process, spoken to directly."""

from __future__ import annotations

import contextlib
import pathlib
import subprocess
import sys

import pytest

from mig import transport
from stress.destination import DestinationProcess
from stress.side_channel import Message, Value

ORDER: dict[str, Value] = {
    "uri": "tcp:127.0.0.1:0",
    "machine": "none",
    "blocks": [["ram", 8192]],
    "vcpus": 1,
    "dirty_rate": 0,
    "load": "",
    "guest": "soft",
    "dirty_log": "",
    "stall_ms": 20_000,
    "output": "stage3-out",
}


@pytest.mark.slow
def test_foreign_client_is_refused() -> None:
    """A client that speaks no migration stream gets an error into the result; nothing starts."""
    with DestinationProcess() as child:
        child.say(Message("order", ORDER))
        with contextlib.closing(transport.connect(child.wait_for("listening").text("uri"))) as sock:
            sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        result = child.wait_for("result")
    assert result.facts["completed"] is False
    assert "it begins with 0x47455420" in result.text("error")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "code", "said"),
    [(b"", 0, ""), (b"hello, destination", 1, "migration destination: no message")],
    ids=["nothing", "text"],
)
def test_no_order(given: bytes, code: int, said: str) -> None:
    """Without an order it ends quietly; for anything else it says what came."""
    done = subprocess.run(
        [sys.executable, "-m", "stress.migrate_destination"],
        cwd=pathlib.Path(__file__).parents[2],
        input=given,
        capture_output=True,
        check=False,
        timeout=50,
    )
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr.decode().startswith(said)
