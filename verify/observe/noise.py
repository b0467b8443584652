"""Noise at synchronisation operations: seeded delays that shift threads against each other.

Promises: which operation of a thread is delayed, and by how much, depends on the seed and on the thread's path of
creation alone, so a seed gives each thread the same delays in every run (the operating system still has its say).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verify import _real

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.observe.recorder import Me


@dataclass(frozen=True, slots=True)
class Noise:
    """Delays before acquiring and after releasing.

    An operation is hit with `probability`; then the thread gives way, or sleeps up to `max_delay_s`, one as likely as
    the other. `switch_interval_s`, if given, is how long the interpreter lets a thread run (`sys.setswitchinterval`).
    """

    seed: int
    probability: float = 0.02
    max_delay_s: float = 0.001
    switch_interval_s: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.probability <= 1:
            raise ValueError(f"noise: probability {self.probability!r}, give a number from 0 to 1")
        if not 0 <= self.max_delay_s <= 60:
            raise ValueError(f"noise: max_delay_s {self.max_delay_s!r}, give seconds from 0 to 60")
        if self.switch_interval_s is not None and not 0 < self.switch_interval_s <= 60:
            raise ValueError(
                f"noise: switch_interval_s {self.switch_interval_s!r}, give seconds up to 60"
            )

    def of(self, me: Me) -> Callable[[], None]:
        """Return what one thread calls at each operation."""
        draw = random.Random(f"{self.seed}:{me.path}").random
        probability, longest, sleep = self.probability, self.max_delay_s, _real.sleep

        def disturb() -> None:
            if draw() < probability:
                sleep(max(draw() * 2 - 1, 0) * longest)

        return disturb

    def text(self) -> str:
        """Return what `parsed` reads: for an environment variable."""
        interval = "" if self.switch_interval_s is None else f"{self.switch_interval_s!r}"
        return f"{self.seed},{self.probability!r},{self.max_delay_s!r},{interval}"


def parsed(text: str) -> Noise:
    """Return the noise that `Noise.text` wrote; raise ValueError with what is wrong."""
    parts = text.split(",")
    if len(parts) != 4:
        raise ValueError(
            f"noise: {text[:80]!r}, give SEED,PROBABILITY,MAX_DELAY_S,SWITCH_INTERVAL_S"
        )
    seed, probability, delay, interval = parts
    return Noise(int(seed), float(probability), float(delay), float(interval) if interval else None)
