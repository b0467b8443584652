"""Three philosophers, each of whom takes the left fork first."""

from __future__ import annotations

import threading


def eat(left: threading.Lock, right: threading.Lock) -> None:
    """Take both forks."""
    left.acquire()
    right.acquire()
    right.release()
    left.release()


def main() -> None:
    """Have dinner."""
    forks = [threading.Lock() for _ in range(3)]
    guests = []
    for left, right in ((0, 1), (1, 2), (2, 0)):
        guests.append(threading.Thread(target=eat, args=(forks[left], forks[right])))
    for guest in guests:
        guest.start()
    for guest in guests:
        guest.join()
