"""Programs that hang in C calls, sockets and thread pools, one that goes round in circles, one that is slow."""

from __future__ import annotations

import ctypes
import hashlib
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

__all__ = ["SLOW_S", "c_call", "gil", "livelock", "pool", "slow", "socket_read"]

FOR_EVER_S = 1_000_000
SLOW_S = 2.5
"""Seconds that each of the three parts of `slow` takes."""


def gil() -> None:
    """A C call that sleeps without letting the interpreter lock go: no Python code runs any more."""
    sleep = ctypes.PyDLL(None).sleep

    def call() -> None:
        sleep(FOR_EVER_S)

    thread = threading.Thread(target=call, name="calling C")
    thread.start()
    thread.join()


def c_call() -> None:
    """A C call that does not return, with the interpreter lock free."""
    sleep = ctypes.CDLL(None).sleep

    def call() -> None:
        sleep(FOR_EVER_S)

    thread = threading.Thread(target=call, name="calling C")
    thread.start()
    thread.join()


def socket_read() -> None:
    """A reader waits for bytes that its peer never sends."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        reader = threading.Thread(target=ours.recv, args=(1,), name="reader")
        reader.start()
        reader.join()


def livelock() -> None:
    """Two threads in step: each takes its own lock, is refused the other's, and gives its own back."""
    locks = (threading.Lock(), threading.Lock())
    step = threading.Barrier(2)

    def polite(own: threading.Lock, other: threading.Lock) -> None:
        refused = True
        while refused:
            with own:
                step.wait()
                refused = not other.acquire(blocking=False)
                step.wait()

    threads = [
        threading.Thread(target=polite, args=locks, name="one"),
        threading.Thread(target=polite, args=locks[::-1], name="two"),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def pool() -> None:
    """The only worker of a thread pool waits for a task that only it could run."""
    with ThreadPoolExecutor(max_workers=1) as workers:

        def outer() -> int:
            return workers.submit(int).result()

        workers.submit(outer).result()


def slow() -> None:
    """Alive, though nothing is locked, queued or joined for seconds: Python, a long C call, a long sleep."""

    def compute() -> None:
        end = time.monotonic() + SLOW_S
        rounds = 0
        while time.monotonic() < end:
            rounds += 1
        end = time.monotonic() + SLOW_S
        while time.monotonic() < end:
            hashlib.pbkdf2_hmac("sha256", b"slow", b"but alive", 1_000_000)
        time.sleep(SLOW_S)

    thread = threading.Thread(target=compute, name="computing")
    thread.start()
    thread.join()
