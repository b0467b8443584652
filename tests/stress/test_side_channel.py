"""Messages between source and destination process."""

from __future__ import annotations

import io
import struct
from typing import Any

import pytest

from stress.side_channel import ChannelError, Message, Value, receive, send


def test_messages_come_back() -> None:
    """Two messages, one with a payload, are read as they were sent; then the channel ends."""
    file = io.BytesIO()
    sent = [Message("a", {"n": 1, "s": "x", "l": [["ram", 4096]]}, b"\0\1"), Message("b", {})]
    for message in sent:
        send(file, message)
    file.seek(0)
    assert [receive(file), receive(file)] == sent
    assert receive(file) is None


def test_values_are_checked() -> None:
    """A value of the wrong type is refused with its key."""
    message = Message("a", {"n": 1, "s": "x", "l": [["ram", 4096]], "b": True})
    assert (message.number("n"), message.text("s")) == (1, "x")
    assert message.pairs("l") == [("ram", 4096)]
    for call, key in ((message.number, "s"), (message.number, "b"), (message.text, "n")):
        with pytest.raises(ChannelError, match=f"'a': {key} is"):
            call(key)
    with pytest.raises(ChannelError, match="n has 1"):
        message.pairs("n")
    assert Message("a", {"d": {"x": "y"}}).strings("d") == {"x": "y"}
    wrong: list[Value] = [{"x": 1}, 1]
    for value in wrong:
        with pytest.raises(ChannelError, match="d has 1"):
            Message("a", {"d": value}).strings("d")


def frame(mark: bytes, text: bytes, size: int | None = None, payload: int = 0) -> bytes:
    """A raw frame."""
    return struct.pack(">4sIQ", mark, len(text) if size is None else size, payload) + text


@pytest.mark.parametrize(
    "data",
    [
        b"T",
        b"Traceback (most recent call last):",
        frame(b"xxxx", b"{}"),
        frame(b"s3mc", b"", size=1 << 30),
        frame(b"s3mc", b"{}", payload=1 << 50),
        frame(b"s3mc", b"[]"),
        frame(b"s3mc", b"{"),
        frame(b"s3mc", b'["a", {}]', payload=1),
    ],
)
def test_anything_else_is_refused(data: bytes) -> None:
    """Text, foreign marks, too large sizes, other JSON and cut messages are refused."""
    with pytest.raises(ChannelError):
        receive(io.BytesIO(data))


def test_sending_to_a_dead_process_is_an_error() -> None:
    """A closed channel is named, with the message."""
    file: Any = io.BytesIO()
    file.close()
    with pytest.raises(ChannelError, match="message 'a' not sent"):
        send(file, Message("a", {}))
