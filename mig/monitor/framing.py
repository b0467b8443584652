"""From bytes to JSON texts: where one message of a client ends and the next begins.

Promises: any bytes may come, in any pieces; memory stays under `MESSAGE_MAX` plus one piece; work is
linear in the bytes; after an error the reader is in step again at the next line, at the latest.
Does not: read the JSON (`mig.monitor.messages`), nor do I/O.

A message is a JSON object or array: it ends where its brackets are closed, lines mean nothing. As in
QEMU the byte 0xff, which no JSON has, gives up what was begun.
"""

from __future__ import annotations

import re
from typing import Final

MESSAGE_MAX: Final = 64 << 10
"""Longest message in bytes."""
NESTING_MAX: Final = 64
"""Deepest nesting of brackets (QEMU: 1024)."""
_SHOWN: Final = 20
_BLANK: Final = re.compile(rb"[ \t\r\n]*")
_STRAY: Final = re.compile(rb"[^{\[\n]*")
_OUTSIDE: Final = re.compile(rb'[{}\[\]"]|[\x00-\x08\x0b\x0c\x0e-\x1f\xff]')
_STRING: Final = re.compile(rb'["\\]|[\x00-\x1f\xff]')


class FramingError(Exception):
    """Bytes that are no message; they are dropped. The text says why."""


class Splitter:
    """Cuts what a client sends into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        """From the first byte of the message that is being read; blanks before it are dropped."""
        self._at = 0
        """First byte not looked at yet."""
        self._depth = 0
        self._in_string = False
        self._skipping = False
        """Whether everything up to the end of the line is dropped."""

    @property
    def pending(self) -> int:
        """Bytes kept."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """Take bytes; ask `next` for messages until it gives None."""
        self._buffer += data

    def next(self) -> bytes | None:
        """The next whole message, or None until more bytes come; raises `FramingError`."""
        if self._skipping and not self._skip_line():
            return None
        if self._depth == 0 and not self._begin():
            return None
        while (found := self._next_mark()) is not None:
            at, mark = found
            if mark == b'"':
                self._in_string = not self._in_string
            elif mark in b"{[":
                self._open(at)
            elif mark in b"}]":
                self._depth -= 1
                if self._depth == 0:
                    return self._cut(at + 1)
            elif mark != b"\\":
                raise self._given_up(f"JSON parse error, stray {_shown(mark)}", at)
        if len(self._buffer) > MESSAGE_MAX:
            raise self._given_up(
                f"JSON message of more than {MESSAGE_MAX} bytes", len(self._buffer)
            )
        return None

    def _open(self, at: int) -> None:
        self._depth += 1
        if self._depth > NESTING_MAX:
            raise self._given_up(f"JSON nesting depth limit of {NESTING_MAX} exceeded", at)

    def _next_mark(self) -> tuple[int, bytes] | None:
        """The next byte that means something, and where it is; None at the end of what came."""
        pattern = _STRING if self._in_string else _OUTSIDE
        found = pattern.search(self._buffer, self._at)
        if found is None:
            self._at = len(self._buffer)
            return None
        at, mark = found.start(), found.group()
        after = at + (2 if mark == b"\\" else 1)
        if after > len(self._buffer):
            self._at = at
            return None
        self._at = after
        return at, mark

    def _begin(self) -> bool:
        """Find the bracket that a message begins with; False until there is one."""
        blank = _BLANK.match(self._buffer)
        if blank is not None:
            del self._buffer[: blank.end()]
        if not self._buffer:
            return False
        stray = _STRAY.match(self._buffer)
        if stray is not None and stray.end():
            text = stray.group()
            del self._buffer[: stray.end()]
            raise FramingError(
                f"QMP input must be a JSON object, not {_shown(text)}; begin with {{"
            )
        self._at = 0
        return True

    def _cut(self, end: int) -> bytes:
        message = bytes(self._buffer[:end])
        del self._buffer[:end]
        self._at = 0
        return message

    def _given_up(self, why: str, at: int) -> FramingError:
        """Drop the message that was begun: up to a newline or 0xff at `at`, else the line's rest."""
        ends = bytes(self._buffer[at : at + 1]) in {b"\n", b"\xff"}
        del self._buffer[: at + 1]
        self._at = self._depth = 0
        self._in_string = False
        self._skipping = not ends
        return FramingError(f"{why}; send one JSON object")

    def _skip_line(self) -> bool:
        end = self._buffer.find(b"\n")
        del self._buffer[: end + 1 if end >= 0 else len(self._buffer)]
        self._skipping = end < 0
        return end >= 0


def _shown(text: bytes) -> str:
    cut = text[:_SHOWN].decode("utf-8", "replace")
    return repr(cut) + ("..." if len(text) > _SHOWN else "")
