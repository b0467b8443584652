"""A search strategy of one's own: three methods. The youngest task goes first, now and then another."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import T


class Backwards:
    """The task made last runs; with a chance of one in four any other that can go on."""

    def __init__(self, seed: int) -> None:
        self.rng = Random(seed)

    def new_execution(self) -> bool:
        """Another one, always."""
        return True

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Decide who goes on; `current` is who ran last."""
        del current
        return self.rng.choice(enabled) if self.rng.random() < 0.25 else enabled[-1]

    def draw(self, bound: int) -> int:
        """Draw a value for the program."""
        return self.rng.randrange(bound)
