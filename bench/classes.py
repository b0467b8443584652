"""What DPOR is held to: exact class counts, no outcome missed, and its speed.

`python -m bench.classes [--generated N] [--micro] [--counts] [--speed] [--executions N]`; without a choice, everything.

- Counts: the classes of small programs, beside those of an abstract model and of GenMC on the same descriptions.
- Generated: N random programs (`bench.programs.generated`) of at most 600 schedules: what they come to under DPOR,
  and under every schedule.
- Micro: the same of `bench.programs.micro`, at the accesses learned from sixty executions.
- Speed: operations per CPU second, and resident memory after N executions (default 100,000).

Ends with 1 if a count differs, an outcome is missing, a class was run twice, or a search was not whole.
"""

from __future__ import annotations

import argparse
import inspect
import resource
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.outcomes import Box, outcomes
from bench.programs import generated, locked, micro
from bench.programs.threads import together
from verify import DFS, DPOR, access, explore
from verify.program import Program, of, of_code
from verify.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Body = Callable[[], object]

MOST = 600
"""Schedules of a generated program, beyond which it is passed over."""
MOST_OF_MICRO = 20_000


def bluetooth() -> None:
    """The driver of SCTBench, one point an access, its count of requests atomic; nothing is asserted.

    As in the C program, a request that comes too late is taken back all the same.
    """
    state = {"io": 1, "event": 0, "stopping": 0}

    def read(name: str) -> int:
        access(name, write=False)
        return state.get(name, 0)

    def write(name: str) -> None:
        access(name, write=True)
        state[name] = 1

    def leave() -> None:
        access("io", write=True)
        state["io"] -= 1
        if state["io"] == 0:
            write("event")

    def stop() -> None:
        write("stopping")
        leave()
        if read("event"):
            write("stopped")

    def request() -> None:
        if not read("stopping"):
            access("io", write=True)
            state["io"] += 1
            read("stopped")
        leave()

    together(stop, request)


def twostage() -> None:
    """A writer and a reader of two values under two locks; nothing is asserted."""
    outer, inner = threading.Lock(), threading.Lock()
    state = {"first": 0}

    def write() -> None:
        with outer:
            state["first"] = 1
        with inner:
            pass

    def read() -> None:
        with outer:
            seen = state["first"]
        if seen:
            with inner:
                pass

    together(write, read)


def philosophers(count: int) -> Body:
    """Return philosophers who each take the left fork first."""

    def body() -> None:
        forks = [threading.Lock() for _ in range(count)]

        def dine(seat: int) -> None:
            with forks[seat], forks[(seat + 1) % count]:
                pass

        together(*[lambda seat=seat: dine(seat) for seat in range(count)])

    return body


def writers(count: int, *, apart: bool = False) -> Body:
    """Return threads that each write once, to one variable or each to its own."""

    def write(number: int) -> None:
        access(f"x{number if apart else 0}", write=True)

    return lambda: together(*[lambda number=number: write(number) for number in range(count)])


def sections() -> None:
    """Three threads, five sections each under one lock."""
    lock = threading.Lock()

    def work() -> None:
        for _ in range(5):
            with lock:
                pass

    together(work, work, work)


COUNTS: tuple[tuple[str, Body, int], ...] = (
    ("deadlock01", locked.deadlock01, 3),
    ("carter01", locked.carter01, 4),
    ("bluetooth", bluetooth, 10),
    ("twostage", twostage, 3),
    *((f"{n} writers, one variable", writers(n), f) for n, f in ((2, 2), (3, 6), (4, 24), (5, 120))),
    *((f"{n} writers, {n} variables", writers(n, apart=True), 1) for n in (2, 4, 8)),
    ("philosophers 2", philosophers(2), 3),
    ("philosophers 3", philosophers(3), 7),
    ("philosophers 4", philosophers(4), 15),
)  # fmt: skip


@dataclass
class Row:
    """One comparison: how many schedules there are, classes run, executions begun in vain, and what is wrong."""

    name: str
    schedules: int
    classes: int
    blocked: int
    outcomes: int
    wrong: str


def counted() -> Iterator[tuple[str, int, int, int]]:
    """Yield name, classes expected, classes run, and executions begun in vain."""
    for name, body, expected in COUNTS:
        box, strategy = Box(body), DPOR()
        with Session(of(box, name)) as session:
            found = outcomes(session, box, strategy, 10_000, classes=True)
        whole = found.whole and len(found.classes) == strategy.classes
        yield name, expected, strategy.classes if whole else -1, strategy.blocked


def compared(name: str, program: Program, box: Box, most: int) -> Row | None:
    """Compare DPOR with every schedule; None where there are more than `most`."""
    strategy = DPOR()
    with Session(program) as session:
        every = outcomes(session, box, DFS(), most)
        if not every.whole:
            return None
        found = outcomes(session, box, strategy, 2 * most, classes=True)
    missing = set(every.seen) - set(found.seen)
    wrong = f"missing: {sorted(missing)}" if missing else ""
    if not found.whole:
        wrong += f" not whole: {', '.join(strategy.left_out)}"
    if strategy.classes != len(found.classes):
        wrong += " a class was run twice"
    return Row(name, every.executions, strategy.classes, strategy.blocked, len(every.seen), wrong)


def generated_rows(count: int) -> Iterator[Row]:
    """Compare `count` generated programs."""
    seed = done = 0
    while done < count:
        box = Box(generated.program(seed))
        row = compared(f"seed {seed}", of(box, f"generated:{seed}"), box, MOST)
        seed += 1
        if row is not None:
            done += 1
            yield row


def micro_rows() -> Iterator[Row]:
    """Compare the micro-programs."""
    for name, body in micro.PROGRAMS.items():
        box = Box(body)
        program = of_code(box, name, file=inspect.getfile(body)).at("access")
        learned = explore(program, DFS(), executions=60).granularity
        row = compared(name, program.at(learned), box, MOST_OF_MICRO)
        yield row or Row(name, 0, 0, 0, 0, f"more than {MOST_OF_MICRO} schedules")


def speed(executions: int) -> str:
    """Run three threads of five sections each, and say how fast."""
    strategy = DPOR()
    program = of(sections, "classes:sections")
    watching = program.detectors()
    steps = done = 0
    begin = time.process_time()
    with Session(program) as session:
        while done < executions and strategy.new_execution():
            steps += session.run(strategy, watching).steps
            done += 1
    took = time.process_time() - begin
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return (
        f"{done:,} executions of 3 threads x 5 lock sections, {strategy.blocked:,} begun in vain: "
        f"{steps / took:,.0f} steps and {done / took:,.0f} executions per CPU second, {resident} MiB at most"
    )


def _print_counts() -> bool:
    good = True
    print(f"{'program':28} expected  classes  in vain")
    for name, expected, classes, blocked in counted():
        good &= expected == classes
        differs = "" if expected == classes else "  DIFFERS"
        print(f"{name:28} {expected:8,} {classes:8,} {blocked:8,}{differs}")
    return good


def _print_rows(title: str, rows: Iterator[Row], *, each: bool) -> bool:
    total = Row(title, 0, 0, 0, 0, "")
    programs = bad = 0
    for row in rows:
        programs += 1
        total.schedules += row.schedules
        total.classes += row.classes
        total.blocked += row.blocked
        total.outcomes += row.outcomes
        bad += bool(row.wrong)
        if each or row.wrong:
            print(_line(row), flush=True)
    print(_line(total))
    print(f"{title}: {programs} programs compared with every schedule, {bad} differ")
    return not bad


def _line(row: Row) -> str:
    return (
        f"{row.name:24} {row.schedules:9,} schedules {row.classes:6,} classes {row.blocked:5,} in vain "
        f"{row.outcomes:5,} outcomes {row.wrong}"
    ).rstrip()


def main() -> int:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(prog="bench.classes", description=__doc__)
    parser.add_argument("--generated", type=int, metavar="N")
    parser.add_argument("--executions", type=int, default=100_000)
    for name in ("counts", "micro", "speed"):
        parser.add_argument(f"--{name}", action="store_true")
    asked = parser.parse_args()
    everything = not (asked.counts or asked.micro or asked.speed or asked.generated)
    good = True
    if asked.speed or everything:
        print(speed(asked.executions), flush=True)
    if asked.counts or everything:
        good &= _print_counts()
    if asked.micro or everything:
        good &= _print_rows("micro-programs", micro_rows(), each=True)
    if asked.generated or everything:
        good &= _print_rows(
            "generated programs", generated_rows(asked.generated or 300), each=False
        )
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
