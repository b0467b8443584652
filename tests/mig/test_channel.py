"""The buffered file: order, budget, short writes, errors, abort."""

from __future__ import annotations

import errno
import socket
import threading

from hypothesis import given
from hypothesis import strategies as st

from mig.channel import Channel
from mig.parameters import UNLIMITED
from mig.tracepoints import Tracepoints
from tests.mig.machines import WAIT, Notes

HANDED = OSError(errno.ECANCELED, "enough")


class Slow(socket.socket):
    """A socket that takes at most so many bytes a call, and fails after so many."""

    def __init__(self, most: int, fails_after: int = 1 << 30) -> None:
        super().__init__()
        self.most = most
        self.left = fails_after
        self.got = b""
        self.calls = 0

    def sendmsg(self, buffers: object, *args: object) -> int:
        """Take some bytes."""
        self.calls += 1
        if self.left <= 0:
            raise OSError(errno.EPIPE, "gone")
        assert isinstance(buffers, list)
        taken = b"".join(buffers)[: min(self.most, self.left)]
        self.got += taken
        self.left -= len(taken)
        return len(taken)


def channel(sock: socket.socket, limit: int = UNLIMITED, notes: Notes | None = None) -> Channel:
    """A channel into `sock`."""
    return Channel(sock, Tracepoints(listener=notes), limit)


pieces = st.lists(st.binary(max_size=20), max_size=12)


@given(pieces, st.integers(1, 30))
def test_short_writes(data: list[bytes], most: int) -> None:
    """However little a call takes, all bytes arrive once and in order."""
    with Slow(most) as sock:
        made = channel(sock)
        for at in range(0, len(data), 3):
            made.append(data[at : at + 3])
            made.flush()
        assert b"".join(data) == sock.got
        assert (len(sock.got), 0) == (made.written, made.buffered)


@given(pieces, st.integers(1, 50), st.integers(1, 20))
def test_budget(data: list[bytes], limit: int, most: int) -> None:
    """A window never writes more than its budget, and refilled windows write everything."""
    whole = b"".join(data)
    with Slow(most) as sock:
        made = channel(sock, limit)
        made.append(data)
        for window in range(1, len(whole) // limit + 2):
            made.flush()
            assert whole[: window * limit] == sock.got
            assert (made.bytes_xfer >= limit or not made.buffered) or not whole
            made.refill()
        assert whole == sock.got


def test_spent_budget() -> None:
    """A flush with a spent budget performs no operation at all: it cannot make progress."""
    notes = Notes()
    with Slow(100) as sock:
        made = channel(sock, 4, notes)
        made.append([b"123456"])
        made.flush()
        calls, accesses, events = sock.calls, len(notes.accesses), len(notes.events)
        for _ in range(10):
            made.flush()
        assert (calls, accesses, events) == (sock.calls, len(notes.accesses), len(notes.events))
        assert (b"1234", 2, True) == (sock.got, made.buffered, made.limited())


def test_limited() -> None:
    """What waits counts against the budget before it is written."""
    with Slow(100) as sock:
        made = channel(sock, 10)
        made.append([b"12345"])
        assert not made.limited()
        made.append([b"12345"])
        assert made.limited()


@given(st.integers(0, 25))
def test_error(fails_after: int) -> None:
    """An error is kept, and nothing is written after it."""
    data = bytes(range(30))
    with Slow(7, fails_after) as sock:
        made = channel(sock)
        made.append([data])
        made.flush()
        made.flush()
        assert made.error is not None
        assert (errno.EPIPE, data[:fails_after]) == (made.error.errno, sock.got)
        assert 30 - fails_after == made.buffered
        made.fail(HANDED)
        assert errno.EPIPE == made.error.errno


def test_abort() -> None:
    """An abort wakes a writer whose peer does not read; its reason is the error."""
    near, far = socket.socketpair()
    made = channel(near)
    made.append([bytes(8 << 20)])
    writer = threading.Thread(target=made.flush, daemon=True)
    with near, far:
        writer.start()
        assert far.recv(1)
        made.abort(HANDED)
        writer.join(WAIT)
        assert not writer.is_alive()
        assert HANDED is made.error
        assert made.buffered > 0


def test_end() -> None:
    """After `end` the peer reads what was written, and then the end."""
    near, far = socket.socketpair()
    with far:
        made = channel(near)
        made.append([b"all"])
        made.flush()
        made.end()
        assert (b"all", b"") == (far.recv(10), far.recv(10))
        made.close()
        made.close()


def test_end_without_peer() -> None:
    """Saying the end on a closed socket is an error of the channel, not an exception."""
    near, far = socket.socketpair()
    far.close()
    near.close()
    made = channel(near)
    made.end()
    assert made.error is not None


def test_events() -> None:
    """Writes are announced with their size and whether the big lock was held."""
    notes = Notes()
    with Slow(2) as sock:
        made = channel(sock, notes=notes)
        made.append([b"123"])
        made.flush(big_lock_held=True)
    begin = {"bytes": 3, "big_lock_held": True}
    assert [begin, {**begin, "bytes": 1}] == notes.named("write_begin")
    assert [{**begin, "bytes": 2}, {**begin, "bytes": 1}] == notes.named("write_end")


def test_without_waiting() -> None:
    """Where a write would wait the flush ends, frozen; when the peer has read it goes on from there."""
    near, far = socket.socketpair()
    with near, far:
        made = channel(near)
        made.wait_no_more()
        data = bytes(range(256)) * 8192
        made.append([data])
        made.flush()
        assert made.frozen
        assert 0 < made.written < len(data)
        got = b""
        while made.buffered:
            got += far.recv(1 << 20)
            made.flush()
        near.shutdown(socket.SHUT_WR)
        while piece := far.recv(1 << 20):
            got += piece
        assert (data, False, None) == (got, made.frozen, made.error)
