"""Whether the sampling strategies keep their promises: `python -m bench.statistics`, about half a minute.

- URW draws evenly: for two threads of k1 and k2 steps that never wait, all C(k1+k2, k1) interleavings turn up, and
  Pearson's chi-square over them has a p-value above 0.001. Beside it the same for the even random walk, which is not
  uniform, so that the measure is seen to tell.
- PCT's bound: for planted bugs of depth d in programs of n tasks and k choices, with so many runs that 1/(n*k^(d-1))
  expects `EXPECTED` hits, the lower 95 % confidence limit of the hit rate is at least the bound.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from dataclasses import dataclass
from functools import partial
from math import comb, sqrt
from statistics import NormalDist
from typing import TYPE_CHECKING

from verify import PCT, URW, RandomWalk, explore
from verify.program import of_code
from verify.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.program import Program
    from verify.strategies import NamedStrategy

EXPECTED = 30
RUNS_A_CLASS = 60
LEAST_P = 0.001
CLASSES = ((2, 2), (3, 3), (4, 2), (4, 4), (5, 3))


def unjoined(first: int, second: int) -> None:
    """Two threads that never wait: `first` steps, and `second`, of which a thread's first step is one."""

    def work(steps: int) -> None:
        lock = threading.Lock()
        for _ in range(steps):
            lock.locked()

    threading.Thread(target=work, args=(second - 1,)).start()
    work(first)


def drawn(strategy: NamedStrategy, program: Program, runs: int) -> Counter[tuple[int, ...]]:
    """Return how often each schedule was drawn."""
    detectors = program.detectors()
    found: Counter[tuple[int, ...]] = Counter()
    with Session(program) as session:
        for _ in range(runs):
            strategy.new_execution()
            found[session.run(strategy, detectors).choices] += 1
    return found


@dataclass(frozen=True)
class Fit:
    """How far counts are from even ones: the classes seen, chi-square, and its p-value."""

    classes: int
    seen: int
    square: float

    @property
    def p(self) -> float:
        """How likely an even draw is at least as uneven (Wilson and Hilferty's approximation)."""
        degrees = self.classes - 1
        cube = 2 / (9 * degrees)
        normal = ((self.square / degrees) ** (1 / 3) - (1 - cube)) / sqrt(cube)
        return 1 - NormalDist().cdf(float(normal))


def fit(strategy: NamedStrategy, first: int, second: int) -> Fit:
    """Return how evenly a strategy draws, once it has learned the counts."""
    program = of_code(partial(unjoined, first, second), "bench.statistics:unjoined")
    drawn(strategy, program, 20)
    classes = comb(first + second, first)
    runs = classes * RUNS_A_CLASS
    found = drawn(strategy, program, runs)
    counts = [*found.values(), *[0] * (classes - len(found))]
    return Fit(
        classes, len(found), sum((each - RUNS_A_CLASS) ** 2 / RUNS_A_CLASS for each in counts)
    )


def ordered(bad: Callable[[str], bool], *threads: str) -> None:
    """Threads that do their steps, the main one the first of them; the bug is an order of all steps that is `bad`."""
    lock = threading.Lock()
    seen: list[str] = []

    def work(steps: str) -> None:
        for step in steps:
            lock.locked()
            seen.append(step)
        assert len(seen) < len("".join(threads)) or not bad("".join(seen))

    for steps in threads[1:]:
        threading.Thread(target=work, args=(steps,)).start()
    work(threads[0])


def overlapping(order: str) -> bool:
    """Whether one of the updates (a small letter, then the capital) begins inside another."""
    return any(
        order.index(one) < order.index(other) < order.index(one.upper())
        for one in order
        for other in order
        if one.islower() and other.islower() and one != other
    )


def between(order: str) -> bool:
    """Whether x lies between a and b, or between c and d."""
    a, b, c, d, x = map(order.index, "abcdx")
    return a < x < b or c < x < d


@dataclass(frozen=True)
class Planted:
    """Threads with a bug of depth `depth`: so many orders of two steps, all met, are enough for it."""

    name: str
    depth: int
    bad: Callable[[str], bool]
    threads: tuple[str, ...]

    @property
    def program(self) -> Program:
        """The program."""
        body = partial(ordered, self.bad, *self.threads)
        return of_code(body, "bench.statistics:ordered")


PLANTED = (
    Planted("between two steps", 2, "axb".__eq__, ("ab", "x")),
    Planted("between the steps of either", 2, between, ("ab", "cd", "x")),
    Planted("lost update", 2, overlapping, ("aA", "bB")),
    Planted("lost update of three", 2, overlapping, ("aA", "bB", "cC")),
    Planted("in turns", 3, ("axby", "xayb").__contains__, ("ab", "xy")),
    Planted("one between, one behind", 3, "axby".__eq__, ("ab", "x", "y")),
)


@dataclass(frozen=True)
class Rate:
    """How often a planted bug was hit, and what PCT's bound says."""

    tasks: int
    choices: int
    depth: int
    runs: int
    hits: int

    @property
    def bound(self) -> float:
        """The probability that the paper promises at least."""
        return 1 / (self.tasks * float(self.choices) ** (self.depth - 1))

    @property
    def least(self) -> float:
        """The lower 95 % confidence limit of the hit rate (normal approximation)."""
        rate = self.hits / self.runs
        return rate - NormalDist().inv_cdf(0.95) * sqrt(rate * (1 - rate) / self.runs)


def hit_rate(planted: Planted, seed: int = 1) -> Rate:
    """Measure n and k by a random walk, then the hit rate in as many runs as the bound asks for."""
    program = planted.program
    walk = drawn(RandomWalk(seed), program, 300)
    choices = max(map(len, walk))
    tasks = len(planted.threads)
    runs = EXPECTED * tasks * choices ** (planted.depth - 1)
    pct = PCT(seed, tasks=tasks, choices=choices, depth=planted.depth)
    state = explore(program, pct, executions=runs)
    if "void" in state.worth:
        raise AssertionError(state.worth)
    return Rate(tasks, choices, planted.depth, runs, state.failing)


def main() -> int:
    """Measure, print, and return 1 if a promise is not kept."""
    wrong = 0
    print("k1 k2   classes  URW: seen  chi-square      p   even walk: chi-square")
    for first, second in CLASSES:
        urw, walk = fit(URW(11), first, second), fit(RandomWalk(11, stay=0.0), first, second)
        wrong += urw.p < LEAST_P or urw.seen < urw.classes
        print(f"{first:2} {second:2} {urw.classes:>9} {urw.seen:>10} {urw.square:>11.1f} {urw.p:>6.3f} "
              f"{walk.square:>23.1f}")  # fmt: skip
    print(f"\n{'planted bug':34} n  k  d    bound    runs   hits     rate  lower limit")
    for planted in PLANTED:
        rate = hit_rate(planted)
        wrong += rate.least < rate.bound
        print(f"{planted.name:34}{rate.tasks:2} {rate.choices:2} {rate.depth:2} {rate.bound:8.4f} {rate.runs:7,} "
              f"{rate.hits:6,} {rate.hits / rate.runs:8.4f} {rate.least:12.4f}")  # fmt: skip
    print(
        f"\n{wrong} of these promises are not kept" if wrong else "\nall of these promises are kept"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
