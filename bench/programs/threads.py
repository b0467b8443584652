"""What the programs have in common."""

from __future__ import annotations

import threading
from collections.abc import Callable

Task = Callable[[], object]


def together(*bodies: Task) -> None:
    """Run each body in a thread and wait for all; threads are made in the order given."""
    threads = [threading.Thread(target=body) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class State:
    """The shared variables of one run of a program, as attributes."""

    a: int = 0
    b: int = 0
    c: int = 0
    first: bool = False
    second: bool = False
    third: bool = False
