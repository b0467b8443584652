"""What a pass is worth, as numbers: PCT's bound, and how likely the next run is to show something new.

Promises: every number is one that its assumptions prove. PCT's bound holds for programs of at most n tasks
and k choices. The limit on what was not seen holds for runs drawn independently from one distribution,
for as many of them as one likes and whenever one stops to look.
Assumes that the caller counts such runs and no others. Says nothing about runs that are drawn otherwise.
"""

from __future__ import annotations

import math

CONFIDENCE = 0.95
MOST_CLASSES = 1 << 18
"""Classes that a tally remembers: some 25 MB. When there are more it counts no further runs."""
BETS = (0.25, 0.5, 1.0, 2.0, 8.0)
"""How strongly the limit bets on runs being of known classes: small where many are not, large where none is."""


def pct_chance(tasks: int, choices: int, depth: int) -> float:
    """Return the least chance of one PCT run to hit a bug of `depth`: 1/(n * k**(d-1)) (ASPLOS 2010, theorem 1)."""
    return 1.0 / max(tasks, 1) / float(max(choices, 1)) ** (depth - 1)


def missed(chance: float, runs: int) -> float:
    """Return the probability that `runs` runs miss what each hits with probability `chance`."""
    if chance >= 1.0:
        return 0.0 if runs else 1.0
    return math.exp(runs * math.log1p(-chance))


def runs_for(chance: float, confidence: float) -> int:
    """Return how many runs hit at least once, with probability `confidence`, what each hits with `chance`."""
    if chance >= 1.0:
        return 1
    return math.ceil(math.log1p(-confidence) / math.log1p(-chance))


class Tally:
    """Counts classes of executions among independent runs; estimates the chance that the next is of a new one.

    `rate` is Good and Turing's estimate (Good, Biometrika 1953): classes seen once, by runs. `limit` is an upper
    confidence limit on the true chance M. Let Y be 1 for a run of a class not seen before it. Given
    the past, Y has as mean the chance then, which only falls; so for each b > 0, with c = 1 - exp(-b),
    the product of exp(-b*Y) / (1 - c*M(then)) over the runs is a martingale of mean 1, and by Ville's
    inequality it never reaches 1/e except with probability e. Of N runs with K new classes that gives
    M < (1 - exp(-(b*K + log(1/e)) / N)) / c at all N together. The same from any run on: `limit` takes the
    best of the starts 0, 1, 2, 4, ... and of `BETS`, between which e is divided. McAllester and
    Schapire's limit (COLT 2000), the usual one, is some 4.6 * sqrt(log(3/e) / N), and for one N alone.
    """

    def __init__(self) -> None:
        self.runs = 0
        self.once: set[int] = set()
        self.again: set[int] = set()
        self.starts: list[tuple[int, int]] = [(0, 0)]

    @property
    def classes(self) -> int:
        """How many classes there were."""
        return len(self.once) + len(self.again)

    def see(self, fingerprint: int) -> None:
        """Count one run."""
        if self.classes >= MOST_CLASSES:
            return
        self.runs += 1
        if fingerprint in self.once:
            self.once.remove(fingerprint)
            self.again.add(fingerprint)
        elif fingerprint not in self.again:
            self.once.add(fingerprint)
        if self.runs & (self.runs - 1) == 0:
            self.starts.append((self.runs, self.classes))

    @property
    def rate(self) -> float:
        """Return Good and Turing's estimate."""
        return len(self.once) / self.runs if self.runs else 1.0

    def limit(self, confidence: float = CONFIDENCE) -> float:
        """Return what the chance is below, with `confidence`."""
        best = 1.0
        for place, (runs, classes) in enumerate(self.starts):
            if self.runs == runs:
                break
            share = (1.0 - confidence) / ((place + 1) * (place + 2) * len(BETS))
            for bet in BETS:
                spent = (bet * (self.classes - classes) - math.log(share)) / (self.runs - runs)
                best = min(best, -math.expm1(-spent) / -math.expm1(-bet))
        return best
