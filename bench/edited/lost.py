"""Two threads add without a lock."""

from __future__ import annotations

import threading


class State:
    """A count."""

    def __init__(self) -> None:
        self.count = 0
        self.lock = threading.Lock()


def add(state: State) -> None:
    """Add one."""
    seen = state.count
    state.count = seen + 1


def main() -> None:
    """Add twice at once."""
    state = State()
    adders = [threading.Thread(target=add, args=(state,)) for _ in range(2)]
    for adder in adders:
        adder.start()
    for adder in adders:
        adder.join()
    assert state.count == 2
