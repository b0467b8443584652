"""How fast the controlled runtime explores: executions/s and steps/s of a few programs.

`python -m bench.exploration [--seconds S] [--rounds N] [--peers]`. Each program runs N rounds of S seconds,
rounds of all programs taking turns, so that a busy machine slows them alike; printed are the median
and the spread (lowest to highest) of the rounds. Claims of speed are ratios within one run; the aims
printed beside are for a quiet machine of two cores. `--peers` compares with other tools instead
(see `bench.peers`), by default in 3 rounds of half a second.
"""

from __future__ import annotations

import argparse
import statistics
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import peers
from verify import RandomWalk, _real
from verify.program import Program, load, of
from verify.runtime.carriers import GREENLETS, THREADS
from verify.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable


def sections() -> None:
    """Two threads, three sections each under one lock."""
    lock = threading.Lock()

    def work() -> None:
        for _ in range(3):
            with lock:
                pass

    _together(work, work)


def abba() -> None:
    """Two threads take two locks in opposite order."""
    left = threading.Lock()
    right = threading.Lock()

    def one() -> None:
        with left, right:
            pass

    def two() -> None:
        with right, left:
            pass

    _together(one, two)


def philosophers() -> None:
    """Five philosophers, each taking the left fork first."""
    forks = [threading.Lock() for _ in range(5)]

    def dine(seat: int) -> None:
        with forks[seat], forks[(seat + 1) % 5]:
            pass

    _together(*[lambda seat=seat: dine(seat) for seat in range(5)])


class Counter:
    """What two threads count in."""

    def __init__(self) -> None:
        """Start at zero."""
        self.n = 0


def counter() -> None:
    """Two threads, three unprotected increments each: every read and every write is a scheduling point."""
    shared = Counter()

    def work() -> None:
        for _ in range(3):
            shared.n += 1

    _together(work, work)


def _together(*bodies: Callable[[], object]) -> None:
    threads = [threading.Thread(target=body) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@dataclass(frozen=True)
class Row:
    """One program of the table: `aim` is executions/s and steps/s, or nothing; `backend` carries the tasks."""

    title: str
    program: Program
    aim: str = ""
    backend: str = GREENLETS


def rows() -> list[Row]:
    """Return the programs, the engine's scenarios included."""
    scenario = "stress.migration.scenarios:"
    table = [
        Row("2 threads x 3 lock sections", of(sections), ">= 20,000 and >= 400,000"),
        Row("the same on OS threads", of(sections), backend=THREADS),
        Row("AB-BA", of(abba)),
        Row("counter, granularity access", of(counter).at("access+Counter.n"), ">= 7,500"),
        Row("5 philosophers", of(philosophers)),
        Row("migration, 16 pages, 2 vCPUs", load(f"{scenario}migration?vcpus=2"), ">= 100"),
    ]
    table += [
        Row(name.replace("_", " "), load(f"{scenario}{name}"))
        for name in ("stop_handshake", "harvest_against_write", "channel_close")
    ]
    return table


def measure(program: Program, seconds: float, backend: str = GREENLETS) -> tuple[float, float]:
    """Return executions/s and steps/s of one round."""
    strategy = RandomWalk(1)
    detectors = program.detectors()
    with Session(program, backend) as session:
        for _ in range(5):
            strategy.new_execution()
            session.run(strategy, detectors)
        executions = steps = 0
        start = _real.perf_counter()
        while (spent := _real.perf_counter() - start) < seconds:
            strategy.new_execution()
            outcome = session.run(strategy, detectors)
            executions += 1
            steps += outcome.steps
    return executions / spent, steps / spent


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench.exploration")
    parser.add_argument("--seconds", type=float, help="length of one round")
    parser.add_argument("--rounds", type=int)
    parser.add_argument(
        "--peers", action="store_true", help="compare with other tools, installed apart"
    )
    args = parser.parse_args()
    if args.peers:
        peers.compare(args.seconds or 0.5, args.rounds or 3)
    else:
        alone(args.seconds or 1.0, args.rounds or 5)


def alone(seconds: float, rounds: int) -> None:
    """Measure the programs of `rows` and print them."""
    table = rows()
    found: list[list[tuple[float, float]]] = [[] for _ in table]
    for _ in range(rounds):
        for row, results in zip(table, found, strict=True):
            results.append(measure(row.program, seconds, row.backend))
    print(f"{'program':32} {'executions/s':>30} {'steps/s':>34}  aim")
    for row, results in zip(table, found, strict=True):
        print(
            f"{row.title:32} {_spread([r[0] for r in results]):>30} {_spread([r[1] for r in results]):>34}  {row.aim}"
        )


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):,.0f} ({min(values):,.0f} to {max(values):,.0f})"


if __name__ == "__main__":
    main()
