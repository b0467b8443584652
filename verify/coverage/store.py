"""Coverage files: read with a bound, written whole or not at all, merged with what is there.

Promises: `save` leaves the union of what the file held and what is given; one that cannot be read is an error, and
stays as it is. Two processes that save into one file at once take turns, where the file system has locks.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from traces.errors import InputError
from traces.store import read_text, write_whole
from verify.coverage.form import MOST_BYTES, dump, merge, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from verify.coverage.form import Coverage


def load(path: Path) -> Coverage:
    """Return the coverage in the file at `path`; raise `InputError` naming the file."""
    text = read_text(path, "give a file that stage3 explore --coverage wrote", MOST_BYTES)
    try:
        return parse(text)
    except InputError as error:
        raise InputError(f"{path}: {error.culprit}", error.problem, error.remedy) from None


def save(coverage: Coverage, path: Path) -> Coverage:
    """Add `coverage` to the file at `path`, made where it is missing; return what the file then holds."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _turn(path):
            whole = merge(load(path), coverage) if path.exists() else coverage
            write_whole(path, dump(whole), path.name)
    except OSError as error:
        remedy = "give a file in a directory that can be written"
        raise InputError(str(path), f"cannot be written: {error.strerror}", remedy) from None
    return whole


@contextmanager
def _turn(path: Path) -> Iterator[None]:
    """Hold the directory's lock, so that nobody else merges into `path` meanwhile."""
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)
