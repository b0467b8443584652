"""Lock-order files and baselines on disk.

Promises: what is read is a regular file of bounded size, and parsed strictly; what is written appears whole or not at
all. `merge_into` takes turns with every other process that does so in the same directory, so nothing gets lost.
"""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, TypeVar

from traces import lock_baseline, lock_order
from traces import store as trace_store
from traces.errors import TraceError
from verify.lock_order.merge import merged

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from traces.lock_baseline import Accepted
    from traces.lock_order import Graph

__all__ = ["load", "load_baseline", "merge_into", "write"]

T = TypeVar("T")


def load(path: Path) -> Graph:
    """Return the graph in a file; raise `TraceError` naming the file and the field."""
    return _parsed(path, lock_order.from_json, lock_order.MOST_CHARACTERS)


def load_baseline(path: Path) -> tuple[Accepted, ...]:
    """Return the entries of a baseline; raise `TraceError` naming the file and the field."""
    return _parsed(path, lock_baseline.from_json, lock_baseline.MOST_CHARACTERS)


def _parsed(path: Path, parse: Callable[[str], T], most: int) -> T:
    text = trace_store.read_text(path, "give a file that stage3 wrote", most)
    try:
        return parse(text)
    except TraceError as error:
        raise TraceError(f"{path}: {error.culprit}", error.problem, error.remedy) from None


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all; its directory is made where it is missing. Raise `TraceError` if it cannot."""
    trace_store.write_whole(path, text, path.name)


def merge_into(path: Path, graph: Graph) -> Graph:
    """Put `graph` into the file at `path` beside what is there; return both together."""
    path = path.absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        turn = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        remedy = "name a file in a directory that can be written"
        raise TraceError(str(path), f"cannot be written: {error.strerror}", remedy) from None
    try:
        fcntl.flock(turn, fcntl.LOCK_EX)
        both = merged([load(path), graph]) if path.exists() else graph
        write(path, lock_order.to_json(both))
    finally:
        os.close(turn)
    return both
