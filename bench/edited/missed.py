"""A wake-up before anybody waits."""

from __future__ import annotations

import threading


class Box:
    """An item, and who waits for it."""

    def __init__(self) -> None:
        self.full = False
        self.waiting = False
        self.changed = threading.Condition()
        self.permits = threading.Semaphore(0)


def produce(box: Box) -> None:
    """Fill the box."""
    with box.changed:
        box.full = True
        box.changed.notify()


def consume(box: Box) -> None:
    """Wait until the box is filled."""
    with box.changed:
        box.changed.wait()


def main() -> None:
    """Produce and consume at once."""
    box = Box()
    consumer = threading.Thread(target=consume, args=(box,))
    producer = threading.Thread(target=produce, args=(box,))
    consumer.start()
    producer.start()
    producer.join()
    consumer.join()
