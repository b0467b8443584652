"""How the two processes of `stage3 migrate` reach each other by each kind of URI.

Promises: `prepared` gives both ends' URIs and cleans up what it made; a reader that still waits for its
command's pipe is let go. Assumes: a URI that `check` passed. Does not: open the stream.

- `tcp:` and `unix:`: the destination listens, the source connects to what it answers.
- `fd:`: a pair of sockets is made here, and one of it inherited by the destination.
- `exec:COMMAND`: the source writes to the command, and the destination reads what that prints.
- `file:PATH`: the source writes the file to its end, then the destination reads it.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import shlex
import socket
import tempfile
from typing import TYPE_CHECKING, Final, NamedTuple

from mig import transport

if TYPE_CHECKING:
    from collections.abc import Iterator

PAIR: Final = "fd:"
"""The URI that asks for a pair of sockets."""


class Way(NamedTuple):
    """Both ends of one stream."""

    source: str | None
    """None: what the destination answers that it listens on."""
    destination: str
    inherited: tuple[int, ...] = ()
    """Descriptors that the destination's process gets."""
    afterwards: bool = False
    """The destination begins when the source is done."""


def check(uri: str) -> None:
    """Raise `TransportError` for a URI that two processes cannot meet by."""
    if uri == PAIR:
        return
    if transport.parse(uri).scheme == "fd":
        raise transport.TransportError(
            uri,
            "a descriptor of this process leads to no destination",
            f"say {PAIR} for a new pair",
        )


@contextlib.contextmanager
def _pair() -> Iterator[Way]:
    near, far = socket.socketpair()
    with far:
        # The source's stream owns its descriptor from `connect` on.
        yield Way(f"fd:{near.detach()}", f"fd:{far.fileno()}", (far.fileno(),))


@contextlib.contextmanager
def _piped(command: str) -> Iterator[Way]:
    with tempfile.TemporaryDirectory(prefix="stage3-") as directory:
        pipe = pathlib.Path(directory, "stream")
        os.mkfifo(pipe, 0o600)
        name = shlex.quote(str(pipe))
        try:
            yield Way(f"exec:(\n{command}\n) > {name}", f"exec:exec cat < {name}")
        finally:
            # A reader whose writer never came would wait for ever.
            with contextlib.suppress(OSError):
                os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))


@contextlib.contextmanager
def prepared(uri: str) -> Iterator[Way]:
    """Both ends of the stream that `uri` asks for."""
    with contextlib.ExitStack() as stack:
        if uri == PAIR:
            yield stack.enter_context(_pair())
            return
        address = transport.parse(uri)
        if address.scheme == "exec":
            yield stack.enter_context(_piped(address.command))
        elif address.scheme == "file":
            yield Way(uri, uri, afterwards=True)
        else:
            yield Way(None, uri)
