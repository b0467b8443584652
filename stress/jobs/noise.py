"""What a stress job does to the schedule, so that rare interleavings become less rare.

Promises: each kind of noise is off unless asked for, is part of what a run is (journal, repro line), and
what it draws comes from the run's seed. Does not: make a run repeatable; the machine has its say. For
that, search under control (`stage3 explore`).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stress.jobs import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from verify.supervise import Json

MOST_LOAD: Final = 256
MOST_INTERVAL_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Noise:
    """All noise of a job. Times are seconds; 0 is off.

    `switch_interval`: CPython's own, between forced switches (0.005 there when nothing is set).
    `delays`: probability of a delay at a synchronisation operation. `pin`: all threads of a run on one CPU.
    `load`: busy processes beside the runs. `slow_vcpus`: a sleep before each burst of a guest's vCPU, which slows
    it as a debugger would.
    """

    switch_interval: float = 0.0
    delays: float = 0.0
    pin: bool = False
    load: int = 0
    slow_vcpus: float = 0.0

    def words(self) -> list[str]:
        """Return the options that ask for this noise."""
        words = []
        if self.switch_interval:
            words += ["--switch-interval", f"{self.switch_interval:g}"]
        if self.delays:
            words += ["--delays", f"{self.delays:g}"]
        if self.pin:
            words.append("--pin")
        if self.load:
            words += ["--load", str(self.load)]
        if self.slow_vcpus:
            words += ["--slow-vcpus", f"{self.slow_vcpus:g}"]
        return words

    def as_json(self) -> dict[str, Json]:
        """Return what a worker has to know; the load is not its business."""
        return {
            "switch_interval": self.switch_interval,
            "delays": self.delays,
            "pin": self.pin,
            "slow_vcpus": self.slow_vcpus,
        }


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this module to a parser."""
    group = parser.add_argument_group("noise")
    group.add_argument(
        "--switch-interval",
        type=seconds,
        default=0.0,
        metavar="S",
        help="seconds between forced thread switches",
    )
    group.add_argument(
        "--delays",
        type=probability,
        default=0.0,
        metavar="P",
        help="probability of a seeded delay of up to 1 ms at each synchronisation operation",
    )
    group.add_argument("--pin", action="store_true", help="all threads of a run on one CPU")
    group.add_argument(
        "--load", type=processes, default=0, metavar="N", help="N busy processes beside the runs"
    )
    group.add_argument(
        "--slow-vcpus",
        type=seconds,
        default=0.0,
        metavar="S",
        help="migration scenarios: vCPUs sleep S seconds before each burst, as under a debugger",
    )


def of(args: argparse.Namespace) -> Noise:
    """Return the noise that parsed options ask for."""
    return Noise(args.switch_interval, args.delays, args.pin, args.load, args.slow_vcpus)


def number(text: str) -> float:
    """Return a finite number of at least 0."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 0")
    return value


def seconds(text: str) -> float:
    """Return seconds, at most `MOST_INTERVAL_S`."""
    value = number(text)
    if value > MOST_INTERVAL_S:
        raise argparse.ArgumentTypeError(f"{text!r} is more than {MOST_INTERVAL_S:g} seconds")
    return value


def probability(text: str) -> float:
    """Return a probability."""
    value = number(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no probability: say for example 0.01")
    return value


def processes(text: str) -> int:
    """Return a number of load processes."""
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and int(text) <= MOST_LOAD):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a number of processes from 0 to {MOST_LOAD}"
        )
    return int(text)


@contextlib.contextmanager
def busy(count: int, seed: int) -> Iterator[None]:
    """Keep `count` load processes going for the length of a `with` block."""
    started = [
        subprocess.Popen(
            [sys.executable, "-m", load.__name__, str(os.getpid()), str(seed + at)],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the job, which ends them
        )
        for at in range(count)
    ]
    try:
        yield
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()


@contextlib.contextmanager
def within(noise: Noise, place: int) -> Iterator[None]:
    """Apply what concerns a worker's own process, for one run: switch interval and CPU. `place` chooses the CPU."""
    interval = sys.getswitchinterval()
    cpus = os.sched_getaffinity(0)
    try:
        if noise.switch_interval:
            sys.setswitchinterval(noise.switch_interval)
        if noise.pin:
            os.sched_setaffinity(0, {sorted(cpus)[place % len(cpus)]})
        yield
    finally:
        sys.setswitchinterval(interval)
        os.sched_setaffinity(0, cpus)
