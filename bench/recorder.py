"""What the flight recorder costs: nanoseconds an operation over the plain one, and its share of a migration's time.

`python -m bench.recorder [--rounds N] [--migrations N]`. Printed is the best of N rounds (others only add what the
machine did besides), plain and recorded in turn. A migration is `stage3 migrate`, run with and without the recording
in turn; its time is the guest's, as the command says it.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import threading
from contextlib import nullcontext
from queue import Queue
from typing import TYPE_CHECKING

from verify import _real
from verify.observe.install import observed
from verify.observe.launch import environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    Timed = Callable[[int], float]

TIMES = 2000  # a short round has a chance to pass without the machine turning to something else
MIGRATE = [
    sys.executable,
    "-m",
    "stress.cli",
    "migrate",
    "--ram",
    "64M",
    "--max-bandwidth",
    "256M",
    "--json",
]


def pairs(name: str) -> Timed:
    """Return what measures one `with` block."""

    def timed(times: int) -> float:
        lock: AbstractContextManager[object] = getattr(threading, name)()
        start = _real.perf_counter()
        for _ in range(times):
            with lock:
                pass
        return (_real.perf_counter() - start) / times * 1e9

    return timed


def makes(name: str) -> Timed:
    """Return what measures making one object."""

    def timed(times: int) -> float:
        kind = getattr(threading, name)
        start = _real.perf_counter()
        for _ in range(times // 10):
            kind()
        return (_real.perf_counter() - start) / (times // 10) * 1e9

    return timed


def passes(times: int) -> float:
    """Measure one put and one get of a queue."""
    jobs: Queue[int] = Queue()
    start = _real.perf_counter()
    for _ in range(times // 4):
        jobs.put(1)
        jobs.get()
    return (_real.perf_counter() - start) / (times // 4) * 1e9


def starts(times: int) -> float:
    """Measure starting and joining one thread."""
    start = _real.perf_counter()
    for _ in range(times // 100):
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
    return (_real.perf_counter() - start) / (times // 100) * 1e9


ROWS: list[tuple[str, Timed]] = [
    ("Lock, a with block", pairs("Lock")),
    ("RLock, a with block", pairs("RLock")),
    ("Condition, a with block", pairs("Condition")),
    ("Queue, put and get", passes),
    ("Lock, making one", makes("Lock")),
    ("Event, making one", makes("Event")),
    ("Thread, start and join", starts),
]


def operations(rounds: int, directory: str) -> None:
    """Print the first table."""
    best: dict[tuple[str, bool], float] = {}
    for _ in range(rounds):
        for recorded in (False, True):
            with observed(directory) if recorded else nullcontext():
                for title, timed in ROWS:
                    key = (title, recorded)
                    best[key] = min(best.get(key, 1e12), timed(TIMES))
    print(f"{'ns':26}{'plain':>10}{'recorded':>10}{'more':>10}")
    for title, _ in ROWS:
        plain, with_it = best[title, False], best[title, True]
        print(f"{title:26}{plain:10.0f}{with_it:10.0f}{with_it - plain:10.0f}")


def migrations(count: int, directory: str) -> None:
    """Print the second table."""
    took: dict[tuple[str, bool], list[float]] = {}
    for _ in range(count):
        for recorded in (False, True):
            child = environment(directory) if recorded else None
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(MIGRATE, capture_output=True, check=True, env=child)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            took.setdefault(("used", recorded), []).append(used)
            total = json.loads(done.stdout)["figures"]["total_time"]
            took.setdefault(("total", recorded), []).append(total)
    for name, unit in (
        ("total", "ms, the migration"),
        ("used", "s of processor, both processes with their start"),
    ):
        plain, with_it = (min(took[name, recorded]) for recorded in (False, True))
        print(f"{plain:.4g} -> {with_it:.4g} {unit}: {with_it / plain * 100 - 100:+.1f} %")


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.recorder")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--migrations", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        operations(options.rounds, directory)
        if options.migrations:
            migrations(options.migrations, directory)


if __name__ == "__main__":
    main()
