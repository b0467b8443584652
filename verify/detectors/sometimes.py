"""Sometimes: what the program says should be true in some execution of the search, and never was.

`verify.sometimes(condition, name)` marks a state that the search ought to reach: a full queue, a retry, a time-out
taken. Promises: over the whole search every name counts how often it was asked and how often it was true; a name that
was asked and never true is told at the end, and the verdict is then inconclusive: a search that never saw the
state says nothing about it. Does not know of a line that was never reached.
"""

from __future__ import annotations

from verify.abc import Detector

MOST_NAMES = 1000


class Sometimes(Detector):
    """Keeps count over all executions of a search."""

    name = "sometimes"

    def __init__(self) -> None:
        self.asked: dict[str, int] = {}
        self.true: dict[str, int] = {}

    def see(self, name: str, *, true: bool) -> None:
        """Count one evaluation."""
        if name not in self.asked and len(self.asked) >= MOST_NAMES:
            raise ValueError(
                f"sometimes: {name!r} is name number {MOST_NAMES + 1:,}; name the place, not the values met there"
            )
        self.asked[name] = self.asked.get(name, 0) + 1
        if true:
            self.true[name] = self.true.get(name, 0) + 1

    def hopes(self) -> dict[str, tuple[int, int]]:
        """Return for each name how often it was asked and how often it was true."""
        return {name: (count, self.true.get(name, 0)) for name, count in self.asked.items()}
