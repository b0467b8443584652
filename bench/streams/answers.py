"""Bytes that come back on a return path, damaged.

Promises: the same `random.Random` gives the same bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mig import wire_return
from mig.wire_return import (
    Pong,
    ReceivedBitmap,
    RequestPages,
    ResumeAck,
    Shut,
    SwitchoverAck,
)

if TYPE_CHECKING:
    import random

    from mig.wire_return import Message

BLOCKS: Final = {"ram": 65 * 4096, "rom": 4096}
MESSAGES: Final[tuple[Message, ...]] = (
    Shut(0),
    Pong(1),
    RequestPages(4096, 8192, "ram"),
    RequestPages(0, 4096, None),
    ReceivedBitmap("ram", bytes(16)),
    ReceivedBitmap("rom", b"\1" + bytes(7)),
    ResumeAck(1),
    SwitchoverAck(),
)


def one(draw: random.Random) -> bytes:
    """Some messages, with some bytes changed, cut or added."""
    data = bytearray()
    for _ in range(draw.randrange(1, 5)):
        data += wire_return.encode(draw.choice(MESSAGES))
    for _ in range(draw.randrange(4)):
        at = draw.randrange(len(data))
        data[at] = draw.choice((0, 1, 2, 3, 4, 5, 6, 7, 8, 0xC0, 0xFF, data[at] ^ 1))
    if draw.random() < 0.3:
        del data[draw.randrange(len(data)) :]
    return bytes(data) + draw.randbytes(draw.choice((0, 0, 1, 9)))
