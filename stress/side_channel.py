"""Messages between the source process and the destination it started, beside the migration stream.

Promises: a message is one JSON object and some raw bytes, framed by their lengths; both are bounded,
and anything else raises `ChannelError`. Assumes: both ends are this program. Does not: time out; the
watchdog does.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from typing import BinaryIO

_FRAME: Final = struct.Struct(">4sIQ")
_MARK: Final = b"s3mc"
MAX_TEXT: Final = 16 << 20
MAX_PAYLOAD: Final = 4 << 30

Value: TypeAlias = "str | int | float | bool | list[Value] | dict[str, Value] | None"
"""What JSON can say."""


class ChannelError(Exception):
    """The other process ended or said something that is no message."""


class Message(NamedTuple):
    """`kind` says what it is about, `facts` holds its values, `payload` raw bytes."""

    kind: str
    facts: dict[str, Value]
    payload: bytes = b""

    def text(self, key: str) -> str:
        """The string under `key`; raises `ChannelError`."""
        value = self.facts.get(key)
        if not isinstance(value, str):
            raise ChannelError(f"message {self.kind!r}: {key} is {value!r}, expected a string")
        return value

    def number(self, key: str) -> int:
        """The whole number under `key`; raises `ChannelError`."""
        value = self.facts.get(key)
        if not isinstance(value, int) or isinstance(value, bool):
            raise ChannelError(f"message {self.kind!r}: {key} is {value!r}, expected a number")
        return value

    def strings(self, key: str) -> dict[str, str]:
        """The strings by name under `key`; raises `ChannelError`."""
        value = self.facts.get(key)
        found: dict[str, str] = {}
        for name, entry in value.items() if isinstance(value, dict) else [(key, value)]:
            if not isinstance(entry, str):
                raise ChannelError(f"message {self.kind!r}: {key} has {entry!r}")
            found[name] = entry
        return found

    def pairs(self, key: str) -> list[tuple[str, int]]:
        """The list of (name, number) under `key`; raises `ChannelError`."""
        found: list[tuple[str, int]] = []
        value = self.facts.get(key)
        for entry in value if isinstance(value, list) else [value]:
            match entry:
                case [str(name), int(number)]:
                    found.append((name, number))
                case _:
                    raise ChannelError(f"message {self.kind!r}: {key} has {entry!r}")
        return found


def send(file: BinaryIO, message: Message) -> None:
    """Write one message and flush; raises `ChannelError` when the other process is gone."""
    text = json.dumps([message.kind, message.facts]).encode()
    try:
        file.write(_FRAME.pack(_MARK, len(text), len(message.payload)))
        file.write(text)
        file.write(message.payload)
        file.flush()
    except (OSError, ValueError) as error:
        raise ChannelError(f"message {message.kind!r} not sent: {error}") from None


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = file.read(size)
    if len(data) != size:
        raise ChannelError(f"the other process ended: {len(data)} bytes of {size} came")
    return data


def receive(file: BinaryIO) -> Message | None:
    """Read one message; None at the end of the channel. Raises `ChannelError`."""
    first = file.read(1)
    if not first:
        return None
    mark, text_size, payload_size = _FRAME.unpack(first + _exactly(file, _FRAME.size - 1))
    if mark != _MARK or text_size > MAX_TEXT or payload_size > MAX_PAYLOAD:
        raise ChannelError(f"no message: {mark!r}, {text_size} and {payload_size} bytes")
    try:
        content: object = json.loads(_exactly(file, text_size))
    except ValueError as error:
        raise ChannelError(f"no message: {error}") from None
    match content:
        case [str(kind), dict(facts)]:
            return Message(kind, facts, _exactly(file, payload_size))
        case _:
            raise ChannelError(f"no message: {str(content)[:60]!r}")
