"""What a shared access costs under the controlled runtime: nanoseconds over the same code outside a check.

`python -m bench.accesses [--rounds N]`. Printed is the best of N rounds (others only add what the
machine did besides), for an attribute that is no scheduling point, for one that is while a single
task can go on, and for one that is while two can (without a switch, and with one every second time).
"""

from __future__ import annotations

import argparse
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from verify import RandomWalk, Settings, _real
from verify.program import of
from verify.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

TIMES, READS = 1000, 10


class Box:
    """Has an attribute."""

    def __init__(self) -> None:
        """Hold a number."""
        self.n = 1


def reads(box: Box) -> None:
    """Read it 10,000 times."""
    n = 0
    for _ in range(TIMES):
        n = box.n + box.n + box.n + box.n + box.n + box.n + box.n + box.n + box.n + box.n
    assert n == READS


def _timed(box: Box) -> float:
    start = _real.perf_counter()
    reads(box)
    return (_real.perf_counter() - start) / (TIMES * READS) * 1e9


def alone(rounds: int, out: list[float]) -> None:
    """Measure in the only task."""
    box = Box()
    out += [_timed(box) for _ in range(rounds)]


def beside(rounds: int, out: list[float]) -> None:
    """Measure with a second task that does the same."""
    box = Box()

    def work() -> None:
        out.extend(_timed(box) for _ in range(rounds))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure(
    body: Callable[[int, list[float]], None], granularity: str, rounds: int, stay: float
) -> float:
    """Return the best of the rounds at `granularity`, in nanoseconds an access."""
    out: list[float] = []
    settings = Settings(granularity=granularity, max_steps=1 << 29, max_jumps=1 << 29)
    program = replace(of(lambda: body(rounds, out)), files=(__file__,), settings=settings)
    strategy = RandomWalk(1, stay=stay)
    strategy.new_execution()
    with Session(program) as session:
        session.run(strategy, program.detectors())
    return min(out[:rounds])  # of two tasks the one that runs first: behind it the other is alone


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.accesses")
    parser.add_argument("--rounds", type=int, default=5)
    rounds: int = parser.parse_args().rounds
    plain = min(_timed(Box()) for _ in range(rounds))
    table = [
        ("no scheduling point", measure(alone, "access+Box.other", rounds, 1.0), "<= 100"),
        ("the only task's", measure(alone, "access+Box.n", rounds, 1.0), "<= 100"),
        ("two tasks, no switch", measure(beside, "access+Box.n", rounds, 1.0), ""),
        ("two tasks, a switch every second time", measure(beside, "access+Box.n", 1, 0.0) / 2, ""),
    ]
    print(f"outside a check: {plain:.1f} ns a read")
    for title, took, aim in table:
        print(f"{title:40} {took - plain:8.0f} ns more  {aim}")


if __name__ == "__main__":
    main()
