"""How large a tree is that nobody has walked: Knuth's estimate from random descents, and its interval.

A descent from the root takes one branch at each node, branch b with a probability p(b) of its own choosing; the product
of 1/p along the way is, in the mean, the number of leaves, whatever the probabilities are as long as none is 0 (Knuth,
"Estimating the efficiency of backtrack programs", Mathematics of Computation 1975). How far single descents scatter
depends on the probabilities: were p(b) the share of the leaves below b, each would give the number itself.

Promises: `Estimate.mean` is unbiased. The interval is nominally 90 %: that of Cox for the mean of a log-normal
distribution, which is what products of many independent factors tend to, with t instead of normal quantiles and the
variance `UNSEEN` larger than measured, for the rare branch that no descent took; it never excludes the mean.
`python -m bench.estimates` measures how often it is right.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, fsum, inf, log, sqrt
from statistics import NormalDist

LEVEL = 0.9
LEAST_DESCENTS = 8
UNSEEN = 0.5
"""Added to the variance of the logarithms: with ten descents an interval is at least some 2 x wide."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number of executions: the unbiased mean, and the ends of a nominal 90 % interval; from so many descents."""

    mean: float
    low: float
    high: float
    descents: int

    def less(self, done: int) -> Estimate:
        """Return what remains when `done` are done."""
        return Estimate(
            max(self.mean - done, 0.0), max(self.low - done, 0.0), max(self.high - done, 0.0), self.descents
        )  # fmt: skip

    def __str__(self) -> str:
        return f"about {rounded(self.mean)} ({rounded(self.low)} to {rounded(self.high)})"


class Descents:
    """Gathers the logarithms of the products."""

    def __init__(self) -> None:
        self.logs: list[float] = []

    def add(self, product: float) -> None:
        """Take in one descent, by the logarithm of its product."""
        self.logs.append(product)

    def estimate(self) -> Estimate | None:
        """Return the estimate, None before there are `LEAST_DESCENTS`."""
        count = len(self.logs)
        if count < LEAST_DESCENTS:
            return None
        # A sum with any weights that are fixed beforehand is as unbiased; later descents know more.
        weights = range(1, count + 1)
        whole = sum(weights)
        alike = whole**2 / sum(weight**2 for weight in weights)
        top = max(self.logs)
        pairs = list(zip(weights, self.logs, strict=True))
        mean = power(top + log(fsum(weight * exp(each - top) for weight, each in pairs) / whole))
        middle = fsum(weight * each for weight, each in pairs) / whole
        variance = fsum(weight * (each - middle) ** 2 for weight, each in pairs) / whole
        variance *= alike / (alike - 1)
        centre = middle + variance / 2
        variance += UNSEEN
        half = quantile(alike - 1) * sqrt(variance / alike + variance**2 / (2 * (alike - 1)))
        at = log(mean) if mean < inf else centre
        return Estimate(mean, power(min(centre, at) - half), power(max(centre, at) + half), count)


def power(logarithm: float) -> float:
    """Return e to this power, infinity where that is beyond floating point."""
    return exp(logarithm) if logarithm < 700 else inf


def quantile(degrees: float) -> float:
    """Return the two-sided t quantile for `LEVEL` (Hill's expansion around the normal one, good from 5 degrees on)."""
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)


def rounded(number: float) -> str:
    """Return a number with the digits that an estimate has."""
    if number < 1000:
        return f"{number:.0f}"
    if number < 1e6:
        size = 10 ** (len(f"{number:.0f}") - 3)
        return f"{round(number / size) * size:,}"
    return f"{number:.1e}".replace("e+0", "e").replace("e+", "e")
