"""Two takers see one item."""

from __future__ import annotations

import queue
import threading


def take(items: queue.Queue[int]) -> None:
    """Take an item, if there is one."""
    if not items.empty():
        items.get()


def main() -> None:
    """Take twice at once."""
    items: queue.Queue[int] = queue.Queue()
    items.put(1)
    takers = [threading.Thread(target=take, args=(items,)) for _ in range(2)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join()
