"""The lines between a supervisor and its workers: JSON objects, one a line, checked when they are read.

Promises: `Lines` gives whole messages, bounded in length, and raises `BadMessageError` for
everything else: a program under test can write into any descriptor it has.
Does no I/O.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from verify.supervise.values import Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from verify.supervise.values import Json

MOST_BYTES: Final = 16 << 20
"""Longest message: a result with its value and output."""


class BadMessageError(Exception):
    """A worker sent something that is no message."""


def line(message: dict[str, Json]) -> bytes:
    """Return `message` as it goes over the wire."""
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def batch(tasks: Iterable[Task]) -> bytes:
    """Return the line that hands out tasks."""
    return line({"tasks": [[task.number, task.seed, dict(task.what)] for task in tasks]})


def tasks_of(message: dict[str, Json]) -> list[Task]:
    """Read what `batch` wrote; it comes from our own supervisor."""
    rows = cast("list[tuple[int, int, dict[str, Json]]]", message["tasks"])
    return [Task(number, seed, what) for number, seed, what in rows]


class Lines:
    """Puts pieces of a stream together to messages."""

    def __init__(self) -> None:
        self._rest = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Json]]:
        """Yield the messages that `data` completes."""
        self._rest += data
        while (end := self._rest.find(b"\n")) >= 0:
            text = bytes(self._rest[:end])
            del self._rest[: end + 1]
            yield _parsed(text)
        if len(self._rest) > MOST_BYTES:
            raise BadMessageError(f"a message of more than {MOST_BYTES} bytes")


def _parsed(text: bytes) -> dict[str, Json]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise BadMessageError(f"no JSON: {text[:60]!a}") from None
    if not isinstance(message, dict):
        raise BadMessageError(f"no object: {text[:60]!a}")
    return cast("dict[str, Json]", message)
