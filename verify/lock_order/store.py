"""Lock-order files and baselines on disk.

Promises: what is read is a regular file of bounded size, and parsed strictly; what is written appears whole or not at
all. `merge_into` takes turns with every other process that does so in the same directory, so nothing gets lost.
"""

from __future__ import annotations

import fcntl
import os
import stat
from typing import TYPE_CHECKING, TypeVar
from uuid import uuid4

from traces import lock_baseline, lock_order
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
    text = _read(path, most)
    try:
        return parse(text)
    except TraceError as error:
        raise TraceError(f"{path}: {error.culprit}", error.problem, error.remedy) from None


def _read(path: Path, most: int) -> str:
    remedy = "give a file that stage3 wrote"
    try:
        # A pipe or a device would block or never end: ask before opening.
        if not stat.S_ISREG(path.stat().st_mode):
            raise TraceError(str(path), "is not a regular file", remedy)
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise TraceError(str(path), f"cannot be read: {error.strerror}", remedy) from None
    except ValueError:  # a null character in the path
        raise TraceError(ascii(str(path)), "is no file name", remedy) from None
    if len(data) > most:
        raise TraceError(str(path), f"has more than {most} bytes", remedy)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} is not UTF-8: this is no text file"
        raise TraceError(str(path), problem, remedy) from None


def write(path: Path, text: str) -> None:
    """Write a file whole or not at all; its directory is made where it is missing. Raise `TraceError` if it cannot."""
    partial = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        remedy = "name a file in a directory that can be written"
        raise TraceError(str(path), f"cannot be written: {error.strerror}", remedy) from None


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
