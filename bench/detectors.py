"""What watching costs: nanoseconds a step, for each detector, over the same executions with none but the one for hangs.

`python -m bench.detectors [--rounds N] [--executions N]`. Two programs without a fault: threads that take a lock and
write a field under it (every read and write is a step), and threads that only take locks. Rounds take turns, so that a
busy machine slows all alike; printed is the median of the rounds. `default` are the detectors of every check: none of
them listens to operations, so they cost nothing a step. `silent` is a listener that does nothing: what being told
costs.
"""

from __future__ import annotations

import argparse
import statistics
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.programs.threads import State, together
from verify import Detector, RandomWalk, _real
from verify.detectors import ON_REQUEST, Deadlock, default_detectors
from verify.program import of_code
from verify.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.abc import ExecutionView, TaskView

    Make = Callable[[], list[Detector]]

TIMES = 20


class Silent(Detector):
    """Listens and does nothing."""

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Do nothing."""


def fields() -> None:
    """Two threads count under a lock."""
    lock = threading.Lock()
    state = State()

    def work() -> None:
        for _ in range(TIMES):
            with lock:
                state.a += 1

    together(work, work)


def locks() -> None:
    """Two threads take two locks in turn."""
    one, other = threading.Lock(), threading.Lock()

    def work() -> None:
        for _ in range(TIMES):
            with one, other:
                pass

    together(work, work)


def rows() -> dict[str, Make]:
    """Return who watches, by name; the first is what the others are compared with."""
    return {
        "hangs alone": lambda: [Deadlock()],
        "default": default_detectors,
        "silent": lambda: [Deadlock(), Silent()],
        **{
            name: lambda make=make: [Deadlock(), make()]  # type: ignore[misc] # bound now
            for name, make in ON_REQUEST.items()
        },
    }


def measure(body: Callable[[], None], granularity: str, make: Make, executions: int) -> float:
    """Return the nanoseconds a step."""
    program = of_code(body, body.__name__).at(granularity)
    program = replace(program, detectors=make)
    detectors = make()
    strategy = RandomWalk(1)
    steps = 0
    with Session(program) as session:
        strategy.new_execution()
        session.run(strategy, detectors)
        start = _real.perf_counter()
        for _ in range(executions):
            strategy.new_execution()
            outcome = session.run(strategy, detectors)
            assert outcome.finding is None
            steps += outcome.steps
        return (_real.perf_counter() - start) / steps * 1e9


def main() -> None:
    """Print a table a program."""
    parser = argparse.ArgumentParser(prog="python -m bench.detectors")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--executions", type=int, default=200)
    args = parser.parse_args()
    for body, granularity in ((fields, "access+State.a"), (locks, "sync")):
        took: dict[str, list[float]] = {name: [] for name in rows()}
        for _ in range(args.rounds):
            for name, make in rows().items():
                took[name].append(measure(body, granularity, make, args.executions))
        medians = {name: statistics.median(values) for name, values in took.items()}
        least = medians["hangs alone"]
        print(f"{body.__name__:14} {'ns a step':>10} {'more':>8} {'steps/s':>12}")
        for name, value in medians.items():
            print(f"  {name:12} {value:>10,.0f} {value - least:>8,.0f} {1e9 / value:>12,.0f}")


if __name__ == "__main__":
    main()
