"""E06. The destination starts from a stream that has no end.

Upstream: QEMU's destination would, too: it starts at the end byte; what comes behind is not waited for.
1. migration: writes a part of the stream.
2. main: cancels; the socket is shut.
3. incoming: takes the end of the bytes for the end of the stream, and starts the guest; so does the source.
Fix: start only after every page, the end byte and the description came and the source has closed.
"""

from __future__ import annotations

from mig.incoming import Incoming, State
from mig.wire_decode import Decoder
from stress.migration.defects.frame import Defect, Step


def check(self: Incoming) -> None:
    """Be content with what came."""
    self._enter(State.ENDED)


def content(self: Incoming | Decoder) -> None:
    """Be content with what is there, or with where it ends."""
    del self


DEFECT = Defect(
    __doc__,
    "cancelled",
    "broken invariant",
    "one side runs",
    (
        Step(Incoming, "_check", check, "714da810"),
        Step(Incoming, "_check_whole", content, "0165deac"),
        Step(Decoder, "_check_end", content, "84b08842"),
    ),
    also=(("broken invariant", "equal"), ("uncaught exception", "InvariantError")),
)
