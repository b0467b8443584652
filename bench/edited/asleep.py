"""A worker forgets the last call while it clears the bell."""

from __future__ import annotations

import threading


class Work:
    """A bell, and whether this is all."""

    def __init__(self) -> None:
        self.over = False
        self.bell = threading.Event()
        self.calls = threading.Semaphore(0)


def toil(work: Work) -> None:
    """Work until it is over."""
    while True:
        work.bell.wait()
        if work.over:
            return
        work.bell.clear()


def main() -> None:
    """Ring once, and once more when it is over."""
    work = Work()
    worker = threading.Thread(target=toil, args=(work,))
    worker.start()
    work.bell.set()
    work.over = True
    work.bell.set()
    worker.join()
