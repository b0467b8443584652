"""Programs whose operations can come in few orders, for what counts orders and classes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from .zoo import together

if TYPE_CHECKING:
    from collections.abc import Iterator


def one_lock() -> None:
    """Two threads take one lock, each in a function of its own: two classes."""
    lock = threading.Lock()

    def left() -> None:
        with lock:
            pass

    def right() -> None:
        with lock:
            pass

    together(left, right)


def event_first() -> None:
    """The event is set before the thread that waits is there: never the other way round."""
    ready = threading.Event()

    def wait() -> None:
        ready.wait()

    ready.set()
    together(wait)


def event() -> None:
    """The event is set while the thread waits, or before."""
    ready = threading.Event()

    def wait() -> None:
        ready.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    ready.set()
    thread.join()


def alone() -> None:
    """No thread but the main one."""
    lock = threading.Lock()
    with lock:
        pass


def many_orders() -> None:
    """Three threads take one lock three times each: 1,680 classes."""
    lock = threading.Lock()

    def work() -> None:
        for _ in range(3):
            with lock:
                pass

    together(work, work, work)


def takes(count: int) -> None:
    """Be called with one argument."""


async def later() -> None:
    """Be awaited."""


def lazily() -> Iterator[int]:
    """Be gone through."""
    yield 1
