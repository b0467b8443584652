"""What a user is told of a machine: events by name, delivered in the order in which they came about.

Promises: an event reaches every subscriber once, in order, on whichever thread delivers; a callback is
called with no state lock, RAM list or bitmap lock held. Nothing is kept while nobody listens.
Assumes: callbacks neither block nor raise; the big lock may be held around them.
Does not: replace `mig.tracepoints`, which are for tools and switch threads.

A post is one append, so it may be made with any lock held; `deliver` is called later, without. Two
threads that deliver at once would swap events, so one of them does it for both:

1. T1 posts, marks itself as delivering, takes what is there; 2. T2 posts, finds someone delivering and
leaves; 3. T1, before it gives up the mark, looks again under the lock, and finds T2's event.

| name | data |
|---|---|
| MIGRATION | status |
| MIGRATION_PASS | pass: harvests so far |
| STOP, RESUME | - |
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Data = Mapping[str, str | int]
    Callback = Callable[[str, Data], None]


class EventHub:
    """The events of one machine."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._callbacks: tuple[Callback, ...] = ()
        self._posted: deque[tuple[str, Data]] = deque()
        self._delivering = False

    def subscribe(self, callback: Callback) -> Callable[[], None]:
        """Call `callback(name, data)` for every event from now on; the result ends that."""
        with self.lock:
            self._callbacks = (*self._callbacks, callback)

        def unsubscribe() -> None:
            with self.lock:
                left = list(self._callbacks)
                if callback in left:
                    left.remove(callback)
                self._callbacks = tuple(left)

        return unsubscribe

    def post(self, name: str, **data: str | int) -> None:
        """Note an event, in its place among the others; any lock may be held."""
        if self._callbacks:
            self._posted.append((name, data))

    def deliver(self) -> None:
        """Call the subscribers for everything noted; no lock but the big lock may be held."""
        while self._posted:
            with self.lock:
                if self._delivering or not self._posted:
                    return
                self._delivering = True
                posted = list(self._posted)
                self._posted.clear()
            try:
                for name, data in posted:
                    for callback in self._callbacks:
                        callback(name, data)
            finally:
                # Under the lock, so that whoever found us delivering posted before the loop looks again.
                with self.lock:
                    self._delivering = False

    def tell(self, name: str, **data: str | int) -> None:
        """`post` and `deliver`."""
        self.post(name, **data)
        self.deliver()
