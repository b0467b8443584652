"""Runs jobs at the same time."""

import threading
from collections.abc import Callable


def together(*jobs: Callable[[], object]) -> None:
    """Start each job in a thread of its own, and wait for all of them."""
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
