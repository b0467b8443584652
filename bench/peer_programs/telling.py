"""What a measuring child is told and what it tells: arguments in, one line of JSON out.

Assumes nothing but the standard library: every tool's virtual environment imports this module.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass

ONE_CORE = ", one core"
SECTIONS = "sections"
COUNTER = "counter"
TIMES = 3  # lock sections, or increments, of each of the two threads


@dataclass(frozen=True)
class Job:
    """What to measure: a program, the tool's mode (without its `ONE_CORE`), for how long."""

    program: str
    mode: str
    seconds: float


@dataclass(frozen=True)
class Told:
    """What was measured: executions in `seconds`, and scheduling decisions if the tool tells them."""

    executions: int
    seconds: float
    steps: float | None = None


def job() -> Job:
    """Read the command line; a mode that ends in `ONE_CORE` binds this process to one core first."""
    program, mode, seconds = sys.argv[1:]
    if mode.endswith(ONE_CORE):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return Job(program, mode.removesuffix(ONE_CORE), float(seconds))


def tell(told: Told) -> None:
    """Print the line that `bench.peers` reads."""
    print(json.dumps(asdict(told)), flush=True)
