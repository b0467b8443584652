"""Coverage files: read with a bound, written whole or not at all, merged with what is there.

Promises: `save` leaves the union of what the file held and what is given; one that cannot be read is an error, and
stays as it is. Two processes that save into one file at once take turns, where the file system has locks.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from traces.errors import InputError
from verify.coverage.form import MOST_BYTES, REMEDY, dump, merge, parse

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from verify.coverage.form import Coverage


def load(path: Path) -> Coverage:
    """Return the coverage in the file at `path`; raise `InputError` naming the file."""
    remedy = "give a file that stage3 explore --coverage wrote"
    try:
        # A pipe or a device would block or never end: ask before opening.
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(str(path), "is not a regular file", remedy)
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise InputError(str(path), f"cannot be read: {error.strerror}", remedy) from None
    except ValueError:
        if "\0" not in str(path):
            raise
        raise InputError(ascii(str(path)), "is no file name", remedy) from None
    if len(data) > MOST_BYTES:
        raise InputError(str(path), f"has more than {MOST_BYTES:,} bytes", remedy)
    try:
        return parse(data.decode())
    except UnicodeDecodeError as error:
        raise InputError(str(path), f"byte {error.start} is not UTF-8", REMEDY) from None
    except InputError as error:
        raise InputError(f"{path}: {error.culprit}", error.problem, error.remedy) from None


def save(coverage: Coverage, path: Path) -> Coverage:
    """Add `coverage` to the file at `path`, made where it is missing; return what the file then holds."""
    partial = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _turn(path):
            whole = merge(load(path), coverage) if path.exists() else coverage
            try:
                with partial.open("x", encoding="ascii") as file:
                    file.write(dump(whole))
                    file.flush()
                    os.fsync(file.fileno())
                partial.replace(path)
            finally:
                partial.unlink(missing_ok=True)
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
