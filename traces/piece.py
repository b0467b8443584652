"""A piece of the corpus: one minimal failing interleaving with what it shows, in a few hundred bytes.

Promises: `piece_from(piece_to(piece)) == piece`; a file is hostile until parsed: bounded, every field checked, unknown
fields refused, and its token decodes. Everything else about the run is had by running it: the token replays it.
Does not: any I/O, or know what a piece is of (`stress.migration.defects`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

from traces import token as tokens
from traces._fields import Fields, as_text, parse
from traces.errors import TraceError

__all__ = ["MOST_BYTES", "Piece", "piece_from", "piece_to"]

MOST_BYTES: Final = 65_536
"""Of a piece's file."""
_NOT_ONE: Final = "this is no piece of the corpus: record it again"


@dataclass(frozen=True)
class Piece:
    """How a program fails.

    `target` is the program, `token` the schedule; `cause` and `key` the failure's class and group, `message` its
    sentence; `why` the lines that say which orders make it fail, none where nobody looked.
    """

    target: str
    token: str
    cause: str
    key: tuple[str, ...]
    message: str
    why: tuple[str, ...] = ()


def piece_to(piece: Piece) -> str:
    """Return a piece as JSON."""
    return json.dumps(asdict(piece), indent=1) + "\n"


def piece_from(text: str) -> Piece:
    """Return the piece in a text; raise `TraceError`, or `TokenError` for its token."""
    if len(text) > MOST_BYTES:
        raise TraceError("piece", f"has more than {MOST_BYTES} characters", _NOT_ONE)
    fields = Fields(parse(text), "", Piece)
    piece = Piece(
        fields.text("target"),
        fields.text("token"),
        fields.text("cause"),
        fields.rows("key", as_text, 64),
        fields.text("message"),
        fields.rows("why", as_text, 256),
    )
    tokens.decode(piece.token)
    return piece
