"""A spool that loses track of a batch: the bug needs three items and one preemption."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Spool:
    """Sends what is written in batches of three, or when it is flushed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.written = 0
        self.waiting: list[int] = []
        self.sent: list[int] = []

    def write(self, item: int) -> None:
        batch: list[int] = []
        with self.lock:
            self.written += 1
            self.waiting.append(item)
            if len(self.waiting) == 3:
                batch, self.waiting = self.waiting, []
        self.sent.extend(batch)  # too late: a flush can come before it

    def flush(self) -> None:
        with self.lock:
            self.sent.extend(self.waiting)
            self.waiting = []
            assert len(self.sent) == self.written


def write_and_flush(items: Sequence[int]) -> None:
    spool = Spool()

    def write() -> None:
        for item in items:
            spool.write(item)

    threads = [threading.Thread(target=write), threading.Thread(target=spool.flush)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
