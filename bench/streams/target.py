"""A destination that reads a stream from bytes, in pieces of chosen sizes.

Promises: `receive` returns how it ended; any exception that is no refusal passes through.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final, NamedTuple

from mig import wire
from mig.incoming import Incoming, State
from mig.wire_decode import Decoder
from mig.wire_events import singly
from mig.wire_return import ReturnDecoder

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable

    from mig.machine import Machine

TINY: Final = wire.Limits(
    ram_bytes=1 << 26,
    blocks=5,
    machine_name=40,
    capabilities=3,
    device_body=24,
    tail=200_000,
    vmdescription=150_000,
    package=100,
)


class Bytes:
    """A stream that gives `data` in pieces, and keeps nothing of what is answered."""

    def __init__(self, data: bytes, draw: random.Random) -> None:
        self._data = data
        self._at = 0
        self._whole = draw.random() < 0.5
        self._draw = draw

    def fileno(self) -> int:
        """None."""
        return -1

    def recv(self, size: int, /) -> bytes:
        """The next piece."""
        if not self._whole:
            size = min(size, 1 << self._draw.randrange(3, 18))
        piece = self._data[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def sendmsg(self, buffers: Iterable[bytes | memoryview], /) -> int:
        """Take all."""
        return sum(map(len, buffers))

    def sendall(self, data: bytes, /) -> None:
        """Take all."""

    def shutdown(self, how: int, /) -> None:
        """Nothing to wake."""

    def close(self) -> None:
        """Nothing to close."""


class Verdict(NamedTuple):
    """How a destination ended, and why it refused."""

    started: bool
    error: str


def receive(machine: Machine, data: bytes, draw: random.Random) -> Verdict:
    """Give `data` to a destination on this thread."""
    incoming = Incoming(machine, Bytes(data, draw), paused=True)
    incoming.run()
    return Verdict(
        incoming.state is State.COMPLETED, "" if incoming.error is None else str(incoming.error)
    )


def decode(data: bytes, draw: random.Random, *, tiny: bool, known: bool) -> None:
    """Give `data` to a decoder alone; a refusal is fine.

    `tiny`: with limits so small that they matter; `known`: it knows sizes of devices.
    """
    sizes = {("vcpu", 0, 1): 16, ("vcpu", 1, 1): 25, ("apic", 0, 3): 33}

    def size(name: str, instance: int, version: int) -> int | None:
        return sizes.get((name, instance, version)) if known else None

    decoder = Decoder(size, TINY if tiny else wire.Limits())
    stream = Bytes(data, draw)
    with contextlib.suppress(wire.WireError):
        while piece := stream.recv(1 << 20):
            decoder.feed(piece)
            for _ in singly(decoder):
                pass
        decoder.finish()
        for _ in singly(decoder):
            pass


def decode_answers(data: bytes, blocks: dict[str, int], draw: random.Random) -> None:
    """Give `data` to the decoder of the return path; a refusal is fine."""
    decoder = ReturnDecoder(blocks)
    stream = Bytes(data, draw)
    with contextlib.suppress(wire.WireError):
        while piece := stream.recv(1 << 20):
            decoder.feed(piece)
            for _ in decoder:
                pass
        decoder.finish()
        for _ in decoder:
            pass
