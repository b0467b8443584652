"""A program whose behaviour depends on how often it has run in this process: not a function of its schedule."""

import itertools
import threading

runs = itertools.count()


def body() -> None:
    lock = threading.Lock()
    with lock:
        pass
    assert next(runs) != 3
