"""The values that a program draws, as far as they are given; 0 beyond them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class Values:
    """`values`, one after the other, each within the bound that is asked for."""

    def __init__(self, values: Sequence[int]) -> None:
        self.values = values
        self.drawn = 0

    def draw(self, bound: int) -> int:
        """Take the next one, or 0."""
        at = self.drawn
        self.drawn += 1
        return self.values[at] % bound if at < len(self.values) else 0
