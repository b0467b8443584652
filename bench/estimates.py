"""How often the estimate of what remains is right: `python -m bench.estimates`.

For small programs, listed and generated ones, depth-first search counts every schedule. Then, with ten seeds, the
search as it is used is asked what it takes the number for once it has made its first descents. Printed: how many of
the (program, seed) pairs have the true number inside the nominal 90 % interval, how wide intervals are (high over
low), and how far the mean of all seeds is from the truth.

    python -m bench.estimates             200 pairs, about a minute
    python -m bench.estimates --quick     20 pairs
"""

from __future__ import annotations

import argparse
import statistics
import sys
import threading
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from bench.programs import BY_NAME
from bench.programs.threads import together
from verify import DFS
from verify.program import of_code
from verify.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from verify.estimates import Estimate
    from verify.program import Program

LISTED = ("account", "stringbuffer", "philosophers_3")
GENERATED = 200
DESCENTS = 24
LEAST, MOST = 700, 8_000
LEAST_COVERED, MOST_WIDE = 0.85, 10.0


@dataclass(frozen=True)
class Pair:
    """What one seed said of one program."""

    program: str
    true: int
    said: Estimate

    @property
    def inside(self) -> bool:
        """Whether the interval has the true number in it."""
        return self.said.low <= self.true <= self.said.high

    @property
    def width(self) -> float:
        """High over low."""
        return self.said.high / self.said.low


def generated(number: int) -> Callable[[], None]:
    """Return a program of two or three threads that take a few locks, look at them, and set and read an event."""
    luck = Random(number)
    sections = luck.choice(((3, 3), (3, 2), (1, 1, 1), (2, 1, 1)))
    plans = [[(luck.randrange(2), luck.randrange(5)) for _ in range(count)] for count in sections]

    def body() -> None:
        locks = [threading.Lock() for _ in range(2)]
        flag = threading.Event()

        def work(plan: Sequence[tuple[int, int]]) -> None:
            for lock, kind in plan:
                if kind == 0:
                    flag.set()
                elif kind == 1:
                    flag.is_set()
                elif kind == 2:
                    locks[lock].locked()
                else:
                    with locks[lock]:
                        pass

        together(*[partial(work, plan) for plan in plans])

    return body


def programs(*, quick: bool) -> dict[str, Program]:
    """Return the programs by name, with the scheduling points at operations alone."""
    found = {name: BY_NAME[name].program.at("sync") for name in LISTED[: 1 if quick else None]}
    for number in range(GENERATED):
        found[f"generated {number}"] = of_code(generated(number), f"bench.estimates:{number}")
    return found


def size(program: Program) -> int | None:
    """Return how many schedules a program has; None beyond `MOST`."""
    strategy = Counting(0)
    with Session(program) as session:
        while strategy.new_execution():
            session.run(strategy, program.detectors())
            if sum(strategy.finished) > MOST:
                return None
    return sum(strategy.finished)


class Counting(DFS):
    """Depth-first search without descents."""

    def descends(self) -> bool:
        """Never."""
        return False


def asked(program: Program, seed: int) -> Estimate:
    """Return what depth-first search says of the whole after `DESCENTS` descents."""
    strategy = DFS(seed)
    with Session(program) as session:
        while strategy.new_execution():
            outcome = session.run(strategy, program.detectors())
            strategy.ended(outcome.choices, news=False, cut=False)
            said = strategy.descent.estimate()
            if said is not None and said.descents == DESCENTS:
                return said
    raise AssertionError(f"{program.target} has too few schedules to be asked about")


def main(given: Sequence[str] | None = None) -> int:
    """Measure, print, and return 1 if the interval does not keep what it promises."""
    parser = argparse.ArgumentParser(prog="python -m bench.estimates")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args(given)
    wanted, seeds = (20, 4) if args.quick else (200, 10)
    pairs: list[Pair] = []
    print(f"{'program':22}{'schedules':>10}  inside  median width  mean of the means / true")
    for name, program in programs(quick=args.quick).items():
        true = size(program)
        if true is None or true < LEAST:
            continue
        mine = [Pair(name, true, asked(program, seed)) for seed in range(seeds)]
        pairs += mine
        bias = statistics.fmean(pair.said.mean for pair in mine) / true
        wide = statistics.median(pair.width for pair in mine)
        print(
            f"{name:22}{true:>10,}  {sum(pair.inside for pair in mine):>3}/{seeds:<3}{wide:>13.2f}{bias:>14.2f}",
            flush=True,
        )
        if len(pairs) >= wanted:
            break
    covered = statistics.fmean(pair.inside for pair in pairs)
    wide = statistics.median(pair.width for pair in pairs)
    print(f"\n{len(pairs)} pairs: the nominal 90 % interval has the true number in it {covered:.1%} of the time; "
          f"median width {wide:.2f} x")  # fmt: skip
    return 0 if covered >= LEAST_COVERED and wide <= MOST_WIDE else 1


if __name__ == "__main__":
    sys.exit(main())
