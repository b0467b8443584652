"""Two locks in opposite orders."""

from __future__ import annotations

import threading


def move(first: threading.Lock, second: threading.Lock) -> None:
    """Move money under both locks."""
    with first, second:
        pass


def main() -> None:
    """Move in both directions at once."""
    savings = threading.Lock()
    current = threading.Lock()
    one = threading.Thread(target=move, args=(savings, current))
    two = threading.Thread(target=move, args=(current, savings))
    one.start()
    two.start()
    one.join()
    two.join()
