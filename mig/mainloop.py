"""The iothread: one loop that waits for descriptors, timers and bottom halves.

Promises: callbacks run one at a time on the iothread with the big lock held; the lock is free while
the loop waits. A bottom half scheduled from any thread runs once, soon, in the order of scheduling.
Assumes: callbacks do not block, unless they release the big lock meanwhile.
Does not: survive a callback that raises: the loop ends, and the error is the thread's.

A wake-up cannot be lost: 1. the scheduler appends, then writes a byte; 2. the loop reads the bytes,
then takes what was appended. Whatever comes after step 2 has its byte still to be read.
"""

from __future__ import annotations

import contextlib
import heapq
import selectors
import socket
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import HasFileno

_WAKE_BYTES = 4096


class _Timer(NamedTuple):
    deadline: float
    number: int
    callback: Callable[[], None]


class MainLoop:
    """The iothread of one machine."""

    def __init__(self, big_lock: threading.Lock, name: str = "iothread") -> None:
        self.big_lock = big_lock
        self.thread = threading.Thread(target=self.run, name=name, daemon=True)
        self._started = False
        self._quit = False
        self._bottom_halves: deque[Callable[[], None]] = deque()
        self._timers: list[_Timer] = []
        self._timer_number = 0
        self._wake_in, self._wake_out = socket.socketpair()
        self._wake_in.setblocking(False)
        self._wake_out.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._wake_out, selectors.EVENT_READ)
        self._watched: dict[int, dict[int, Callable[[], None]]] = {}
        """Descriptor -> event -> callback."""

    def start(self) -> None:
        """Start the thread."""
        self._started = True
        self.thread.start()

    def schedule(self, callback: Callable[[], None]) -> None:
        """Run `callback` once on the iothread with the big lock held; from any thread."""
        self._bottom_halves.append(callback)
        self._wake()

    def _wake(self) -> None:
        # A full pipe wakes the loop as well; a closed one has no loop to wake.
        with contextlib.suppress(OSError):
            self._wake_in.send(b"!")

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Run `callback` once on the iothread in `seconds`; with the big lock held."""
        self._timer_number += 1
        timer = _Timer(time.monotonic() + seconds, self._timer_number, callback)
        heapq.heappush(self._timers, timer)
        self._wake()

    def add_reader(self, sock: HasFileno, callback: Callable[[], None]) -> None:
        """Call `callback` whenever `sock` can be read; with the big lock held."""
        self._watch(sock, selectors.EVENT_READ, callback)

    def remove_reader(self, sock: HasFileno) -> None:
        """Watch `sock` for reading no more; with the big lock held."""
        self._watch(sock, selectors.EVENT_READ, None)

    def add_writer(self, sock: HasFileno, callback: Callable[[], None]) -> None:
        """Call `callback` whenever `sock` takes bytes; with the big lock held."""
        self._watch(sock, selectors.EVENT_WRITE, callback)

    def remove_writer(self, sock: HasFileno) -> None:
        """Watch `sock` for writing no more; with the big lock held."""
        self._watch(sock, selectors.EVENT_WRITE, None)

    def _watch(self, sock: HasFileno, event: int, callback: Callable[[], None] | None) -> None:
        watched = self._watched.setdefault(sock.fileno(), {})
        if watched:
            self._selector.unregister(sock)
        if callback is None:
            del watched[event]
        else:
            watched[event] = callback
        if watched:
            self._selector.register(sock, sum(watched))
        else:
            del self._watched[sock.fileno()]
        self._wake()

    def run(self) -> None:
        """Body of the thread: serve until `quit`."""
        while not self._quit:
            ready = self._selector.select(self._timeout())
            with self.big_lock:
                for key, events in ready:
                    if key.fd == self._wake_out.fileno():
                        self._drain()
                    else:
                        self._call(key.fd, events)
                self._run_timers()
                self._run_bottom_halves()

    def _call(self, descriptor: int, events: int) -> None:
        # Looked up each time: a callback may have removed the other one, or the descriptor.
        for event in (selectors.EVENT_READ, selectors.EVENT_WRITE):
            callback = self._watched.get(descriptor, {}).get(event)
            if events & event and callback is not None:
                callback()

    def _timeout(self) -> float | None:
        if not self._timers:
            return None
        return max(0.0, self._timers[0].deadline - time.monotonic())

    def _drain(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake_out.recv(_WAKE_BYTES)

    def _run_timers(self) -> None:
        if self._timers:
            now = time.monotonic()
            while self._timers and self._timers[0].deadline <= now:
                heapq.heappop(self._timers).callback()

    def _run_bottom_halves(self) -> None:
        # Only those that are there now: a bottom half that schedules itself does not starve others.
        for _ in range(len(self._bottom_halves)):
            self._bottom_halves.popleft()()

    def quit(self) -> None:
        """End the loop after the callbacks that are due; from any thread."""
        self._quit = True
        self._wake()

    def join(self) -> None:
        """Wait for the end of the thread and give up the descriptors; not with the big lock."""
        if self._started:
            self.thread.join()
        self._selector.close()
        self._wake_in.close()
        self._wake_out.close()
