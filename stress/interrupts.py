"""How a command that runs others is ended: SIGTERM is an interrupt, so that what it started does not outlive it.

Promises: handlers are put back as they were. Does not: change anything outside the main thread, where Python lets
nobody set handlers.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["terminable"]


@contextlib.contextmanager
def terminable() -> Iterator[list[int]]:
    """Take SIGTERM for an interrupt: CI that cancels a job or runs out of time still gets what was found.

    Yields the signals that came: the exception alone can be lost, in a finalizer that happened to run.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def interrupt(number: int, _frame: object) -> None:
        came.append(number)
        raise KeyboardInterrupt

    kept = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield came
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
