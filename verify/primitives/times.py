"""time: virtual clocks and sleeping on them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from verify.primitives.patches import Patch, function
from verify.runtime.clock import EPOCH

if TYPE_CHECKING:
    from verify.runtime.execution import Execution
    from verify.runtime.task import Task


def _sleep(execution: Execution, me: Task, seconds: float) -> None:
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    execution.sleep(me, seconds)


def _monotonic(execution: Execution, _me: Task) -> float:
    return execution.read_clock()


def _monotonic_ns(execution: Execution, _me: Task) -> int:
    return int(execution.read_clock() * 1e9)


def _time(execution: Execution, _me: Task) -> float:
    return EPOCH + execution.read_clock()


def _time_ns(execution: Execution, _me: Task) -> int:
    return int((EPOCH + execution.read_clock()) * 1e9)


def rows() -> list[Patch]:
    """Return the patches for the module `time`."""
    out: list[Patch] = []
    for name, model in (
        ("sleep", _sleep), ("monotonic", _monotonic), ("monotonic_ns", _monotonic_ns), ("perf_counter", _monotonic),
        ("perf_counter_ns", _monotonic_ns), ("time", _time), ("time_ns", _time_ns),
    ):  # fmt: skip
        function(time, name, model, out)
    return out
