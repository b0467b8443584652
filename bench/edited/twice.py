"""Two threads make what there is to be one of."""

from __future__ import annotations

import threading


class Registry:
    """One connection for all."""

    def __init__(self) -> None:
        self.connection: object = None
        self.cache: dict[str, object] = {}
        self.made: list[object] = []
        self.lock = threading.Lock()


def connect(registry: Registry) -> None:
    """Make the connection unless there is one."""
    if registry.connection is None:
        registry.connection = object()
        registry.made.append(1)


def main() -> None:
    """Connect twice at once."""
    registry = Registry()
    users = [threading.Thread(target=connect, args=(registry,)) for _ in range(2)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert len(registry.made) == 1
