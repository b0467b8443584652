"""Modelled sockets beside real ones: ends, broken pipes, resets, and what poll says of them."""

from __future__ import annotations

import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verify import Verdict, explore
from verify.detectors import Deadlock
from verify.program import of
from verify.session import Session
from verify.strategies import RandomWalk

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Step = tuple[str, str, Any]  # which end, what it does, with what

MASK = select.POLLIN | select.POLLOUT | select.POLLRDHUP
AT_ONCE = struct.pack("ii", 1, 0)


def pair(family: str) -> dict[str, Any]:
    """Two ends that do not block."""
    if family == "unix":
        near, far = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as server:
            near = socket.create_connection(server.getsockname())
            far, _ = server.accept()
    near.setblocking(False)
    far.setblocking(False)
    return {"near": near, "far": far}


def do(end: Any, what: str, value: Any) -> object:
    """One step: its result, or the name of its error."""
    try:
        if what == "poll":
            polled = select.poll()
            polled.register(end, MASK)
            return [events for _, events in polled.poll(0)]
        if what == "linger":
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
            return None
        if what == "error":
            return end.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return getattr(end, what)(*value)
    except (OSError, ValueError) as error:
        return type(error).__name__


def run(family: str, steps: Sequence[Step], settle: float = 0.0) -> list[object]:
    """All steps, in order; what each gave."""
    ends = pair(family)
    out: list[object] = []
    for end, what, value in steps:
        if ends[end].fileno() == -1:
            continue  # closed: what is asked of it says nothing about its peer
        out.append(do(ends[end], what, value))
        if settle:
            time.sleep(settle)
    for end in ends.values():
        end.close()
    return out


def modelled(body: Callable[[], object]) -> Any:
    """What `body` returns inside a check."""
    got: list[object] = []
    with Session(of(lambda: got.append(body()))) as session:
        outcome = session.run(RandomWalk(1), [Deadlock()])
    assert (None, None) == (outcome.abort, outcome.finding)
    return got[0]


def send(end: str, count: int = 1) -> Step:
    return end, "send", (b"x" * count,)


def recv(end: str) -> Step:
    return end, "recv", (3,)


def look(end: str) -> Step:
    return end, "poll", None


CLOSE: Step = ("far", "close", ())
AFTER = [
    look("near"),
    recv("near"),
    recv("near"),
    look("near"),
    send("near"),
    look("near"),
    send("near"),
    recv("near"),
]
CASES: dict[str, list[Step]] = {
    "clean close": [send("far"), CLOSE, *AFTER],
    "close with bytes unread": [send("near"), send("far", 4), CLOSE, *AFTER],
    "close with bytes unread, then a send": [send("near"), send("far"), CLOSE, send("near"), *AFTER],
    "no lingering": [("far", "linger", None), send("far"), CLOSE, *AFTER],
    "the pending error is asked for": [send("near"), CLOSE, ("near", "error", None), ("near", "error", None), *AFTER],
    "peer shuts writing": [("far", "shutdown", (socket.SHUT_WR,)), *AFTER, recv("far"), look("far")],
    "peer shuts reading": [("far", "shutdown", (socket.SHUT_RD,)), *AFTER, send("far"), recv("near"), recv("far")],
    "peer shuts both": [send("near"), ("far", "shutdown", (socket.SHUT_RDWR,)), *AFTER, recv("far"), recv("far")],
    "own end, then a close": [("near", "shutdown", (socket.SHUT_WR,)), look("far"), CLOSE, *AFTER],
    "end, then close with bytes unread": [send("near"), ("far", "shutdown", (socket.SHUT_WR,)), CLOSE, *AFTER],
    "shut after a reset": [send("near"), CLOSE, ("near", "shutdown", (socket.SHUT_WR,)), ("near", "getpeername", ())],
    "no such direction": [("near", "shutdown", (7,))],
}  # fmt: skip


@pytest.mark.parametrize("family", ["unix", "tcp"])
@pytest.mark.parametrize("name", CASES)
def test_as_linux(name: str, family: str) -> None:
    """Each ending looks the same on a modelled pair as on a real one."""
    steps = CASES[name]
    got = modelled(lambda: run(family, steps))
    # Over TCP the peer's answer can be a moment late on a busy machine.
    for pause in (0, 0.01, 0.1):
        real = run(family, steps, pause)
        if real == got:
            break

    if name == "shut after a reset" and family == "unix":
        real[-1] = got[-1]  # an address, which a model of a pair does not have
    assert real == got


OPERATIONS = st.one_of(
    st.builds(send, st.sampled_from(["near", "far"]), st.integers(0, 5)),
    st.builds(recv, st.sampled_from(["near", "far"])),
    st.builds(look, st.sampled_from(["near", "far"])),
    st.tuples(st.sampled_from(["near", "far"]), st.just("error"), st.none()),
    st.tuples(st.sampled_from(["near", "far"]), st.just("close"), st.just(())),
    st.tuples(st.sampled_from(["near", "far"]), st.just("shutdown"), st.tuples(st.sampled_from([0, 1, 2]))),
)  # fmt: skip


@pytest.mark.slow
def test_any_sequence_as_linux() -> None:
    """Any sequence of operations on both ends of a unix pair gives what a real pair gives."""
    drawn: list[Step] = []
    got: list[object] = []
    with Session(of(lambda: got.append(run("unix", drawn)))) as session:

        @given(st.lists(OPERATIONS, max_size=12))
        def compare(steps: list[Step]) -> None:
            drawn[:], got[:] = steps, []
            session.run(RandomWalk(1), [Deadlock()])
            assert [run("unix", steps)] == got

        compare()


def test_listener_closed_with_a_connection_waiting() -> None:
    """Who was never accepted is reset."""

    def body() -> list[object]:
        server = socket.create_server(("127.0.0.1", 0))
        client = socket.create_connection(server.getsockname())
        server.close()
        with client:
            client.setblocking(False)
            return [
                do(client, what, value)
                for _, what, value in (look(""), recv(""), recv(""), send(""))
            ]

    assert body() == modelled(body)


def test_reset_while_a_thread_reads() -> None:
    """A reader that waits is woken by the reset, in each schedule."""

    def program() -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname())
            far, _ = server.accept()
        client.sendall(b"never read")
        reader = verify_thread(lambda: got.append(do(client, "recv", (1,))))
        far.close()
        reader.join()
        assert got.pop() == "ConnectionResetError"

    got: list[object] = []
    assert Verdict.NOT_FOUND == explore(of(program), RandomWalk(1), executions=50).verdict


def verify_thread(body: Callable[[], object]) -> Any:
    import threading

    thread = threading.Thread(target=body)
    thread.start()
    return thread


def test_poll_waits_for_sockets() -> None:
    """Poll and epoll are modelled: they wait, time out in virtual time, and say who is ready."""

    def body() -> list[object]:
        near, far = socket.socketpair()
        polled = select.poll()
        polled.register(near, select.POLLIN)
        out: list[object] = [polled.poll(3_600_000)]
        polled.modify(near, select.POLLIN | select.POLLOUT)
        out.append([seen for _, seen in polled.poll()])
        polled.unregister(near)
        with pytest.raises(KeyError):
            polled.unregister(near)
        with pytest.raises(FileNotFoundError):
            polled.modify(near, select.POLLIN)
        writer = verify_thread(lambda: far.send(b"x"))
        with select.epoll() as watched:
            watched.register(near.fileno(), select.EPOLLIN)
            with pytest.raises(FileExistsError):
                watched.register(near, select.EPOLLIN)
            out.append([seen for _, seen in watched.poll()])
            with pytest.raises(ValueError, match="EPOLLET"):
                watched.register(far, select.EPOLLIN | select.EPOLLET)
            watched.unregister(near)
            with pytest.raises(FileNotFoundError):
                watched.unregister(near)
        with pytest.raises(ValueError, match="closed"):
            watched.poll()
        writer.join()
        return out

    assert [[], [select.POLLOUT], [select.EPOLLIN]] == modelled(body)


def test_poll_for_ever_is_found() -> None:
    """A task that polls for ever on a silent socket is found."""

    def silent() -> None:
        _, far = socket.socketpair()
        polled = select.poll()
        polled.register(far, select.POLLIN)
        polled.poll()

    (group,) = explore(of(silent), RandomWalk(1), executions=5).groups.values()

    assert "blocked for ever" == group.finding.cause
    assert "poll.poll" in group.finding.message


def test_poll_on_files_passes_through(tmp_path: Any) -> None:
    """What waits for a pipe is real, and noted."""
    import os

    def body() -> None:
        reading, writing = os.pipe()
        os.write(writing, b"x")
        polled = select.poll()
        polled.register(reading, select.POLLIN)
        polled.modify(reading, select.POLLIN)
        assert [(reading, select.POLLIN)] == polled.poll(0)
        polled.unregister(reading)
        with select.epoll() as watched:
            watched.register(reading, select.EPOLLIN)
            assert [(reading, select.EPOLLIN)] == watched.poll()
        os.close(reading)
        os.close(writing)

    with Session(of(body)) as session:
        outcome = session.run(RandomWalk(1), [Deadlock()])

    assert outcome.abort is None
    assert {("poll.poll on files",), ("epoll.poll on files",)} <= {
        note.key for note in outcome.notes
    }


def test_sending_without_waiting() -> None:
    """MSG_DONTWAIT does not wait on a socket that blocks, real or modelled."""

    def body() -> object:
        near, far = socket.socketpair()
        with near, far:
            taken = 0
            try:
                while True:
                    taken += near.sendmsg([b"x" * 1000, b"y" * 1000], (), socket.MSG_DONTWAIT)
            except BlockingIOError:
                return taken > 0, near.getblocking()

    assert (True, True) == body() == modelled(body)
