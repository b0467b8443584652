"""The iothread: bottom halves, timers, readers, and the lock it holds for them."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from mig.mainloop import MainLoop
from tests.mig.machines import WAIT

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def loop() -> Iterator[MainLoop]:
    """A running loop, ended after the test."""
    made = MainLoop(threading.Lock())
    made.start()
    yield made
    made.quit()
    made.join()


def test_order(loop: MainLoop) -> None:
    """Bottom halves run once, in order, on the iothread, with the big lock held."""
    seen: list[tuple[int, bool, str]] = []
    done = threading.Event()
    for number in range(100):
        loop.schedule(
            lambda number=number: seen.append(  # type: ignore[misc]
                (number, loop.big_lock.locked(), threading.current_thread().name)
            )
        )
    loop.schedule(done.set)
    assert done.wait(WAIT)
    assert [(number, True, "iothread") for number in range(100)] == seen


def test_none_is_lost(loop: MainLoop) -> None:
    """Many threads schedule at once, and each bottom half runs."""
    counts: list[int] = []

    def schedule() -> None:
        for _ in range(200):
            loop.schedule(lambda: counts.append(1))

    threads = [threading.Thread(target=schedule) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    done = threading.Event()
    loop.schedule(done.set)
    assert done.wait(WAIT)
    assert 800 == len(counts)


def test_again(loop: MainLoop) -> None:
    """A bottom half that schedules itself lets the others run."""
    done, turns = threading.Event(), [0]

    def again() -> None:
        turns[0] += 1
        if not done.is_set():
            loop.schedule(again)

    loop.schedule(again)
    loop.schedule(done.set)
    assert done.wait(WAIT)


def test_timers(loop: MainLoop) -> None:
    """Timers run in the order of their deadlines, and not before."""
    seen: list[str] = []
    done = threading.Event()

    def last() -> None:
        seen.append("late")
        done.set()

    with loop.big_lock:
        loop.call_later(0.02, last)
        loop.call_later(0.01, lambda: seen.append("early"))
        loop.call_later(0.01, lambda: seen.append("second"))
    assert done.wait(WAIT)
    assert ["early", "second", "late"] == seen


def test_readers(loop: MainLoop) -> None:
    """A socket that can be read calls its reader until it is removed."""
    near, far = socket.socketpair()
    seen: list[bytes] = []
    done = threading.Event()

    def read() -> None:
        seen.append(far.recv(1))
        if len(seen) == 2:
            loop.remove_reader(far)
            done.set()

    with near, far:
        with loop.big_lock:
            loop.add_reader(far, read)
        near.sendall(b"abc")
        assert done.wait(WAIT)
        after = threading.Event()
        loop.schedule(after.set)
        assert after.wait(WAIT)
        assert [b"a", b"b"] == seen


def test_lock_is_free_while_waiting(loop: MainLoop) -> None:
    """The loop holds the big lock only for callbacks."""
    done = threading.Event()
    loop.schedule(done.set)
    assert done.wait(WAIT)
    assert loop.big_lock.acquire(timeout=WAIT)
    loop.big_lock.release()


def test_quit() -> None:
    """What was scheduled before the end still runs; what comes after it does no harm."""
    made = MainLoop(threading.Lock())
    seen: list[int] = []
    made.schedule(lambda: seen.append(1))
    made.quit()
    made.join()
    made = MainLoop(threading.Lock())
    made.start()
    made.schedule(lambda: seen.append(2))
    made.quit()
    made.join()
    made.schedule(lambda: seen.append(3))
    assert [2] == seen


def test_reader_and_writer(loop: MainLoop) -> None:
    """A socket may be watched both ways; each callback comes when its side is ready, until it is removed."""
    near, far = socket.socketpair()
    near.setblocking(False)
    with near, far:
        while True:
            try:
                near.send(bytes(1 << 16))
            except BlockingIOError:
                break
        read, wrote = threading.Event(), threading.Event()

        def on_read() -> None:
            loop.remove_reader(near)
            read.set()

        def on_write() -> None:
            loop.remove_writer(near)
            wrote.set()

        with loop.big_lock:
            loop.add_writer(near, on_write)
            loop.add_reader(near, on_read)
        far.send(b"!")
        assert read.wait(WAIT)
        assert not wrote.is_set()
        far.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                far.recv(1 << 16)
        assert wrote.wait(WAIT)
        with loop.big_lock:
            wrote.clear()
            loop.add_writer(near, on_write)
        assert wrote.wait(WAIT)
