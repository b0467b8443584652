"""QEMU's own streams into the destination, to the digest of the memory that must come out."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import pathlib
import socket

import pytest

from mig.incoming import Incoming, State
from mig.machine import Machine
from tests.mig.machines import WAIT

DATA = pathlib.Path(__file__).parents[1] / "data"
PACKAGED = DATA.parents[1] / "stress" / "data"


@pytest.mark.parametrize(
    ("name", "deltas"),
    [
        ("none16-paused", False),
        ("microvm16-paused", False),
        ("pc16-paused", False),
        ("pc16-dirty-plain", False),
        ("pc16-dirty-xbzrle", True),
    ],
)
def test_stream_that_qemu_wrote(name: str, deltas: bool) -> None:
    """Through a socket, every record is loaded, and the memory is what QEMU's destination had."""
    path = (PACKAGED if name == "pc16-dirty-plain" else DATA) / f"{name}.mig.gz"
    facts = json.loads(path.with_name(f"{name}.json").read_text())
    machine = Machine("destination", list(facts["blocks"].items()), name=facts["machine"])
    near, far = socket.socketpair()
    incoming = Incoming(machine, far, paused=True)
    with contextlib.closing(machine), near:
        incoming.start()
        near.sendall(gzip.decompress(path.read_bytes()))
        near.shutdown(socket.SHUT_WR)
        assert incoming.join(WAIT)
        assert (incoming.state, incoming.error) == (State.COMPLETED, None)
        memory = machine.ram.find(facts["ram_block"]).view
        assert hashlib.sha256(memory).hexdigest() == facts["ram_sha256"]
    records, loader = facts["page_records"], incoming.loader
    assert loader.duplicate + loader.normal + loader.deltas == sum(
        records[kind] for kind in ("zero", "normal", "xbzrle")
    )
    assert (loader.deltas > 0) is deltas
    assert incoming.received_bytes == facts["stream_bytes"]
