"""Trace files in a directory.

Promises: a file is there whole or not at all (written beside its place, then renamed); what is
stored can be loaded, for it is read back before the rename; the same trace gets the same name, so
storing it twice leaves one file. Files are hostile until parsed: only regular files of bounded size
are read.
Does not lock: two processes may write into one directory, and the last rename of a name wins.
"""

from __future__ import annotations

import os
import re
import stat
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from traces.errors import TraceError, quoted
from traces.schema import MOST_CHARACTERS, from_json, to_json

if TYPE_CHECKING:
    from traces.schema import Trace

__all__ = [
    "DIRECTORY",
    "file_name",
    "list_files",
    "load",
    "read_text",
    "save",
    "write_bytes",
    "write_whole",
]

DIRECTORY = Path("stage3-out")

_MOST_NAME = 60


def save(trace: Trace, directory: Path = DIRECTORY, *, kind: str = "explore") -> Path:
    """Write `trace` into `directory`, made where it is missing, and return the file's path.

    `kind` is the command that found it. Raises `TraceError` when the directory cannot be written or
    the trace exceeds the schema's bounds; nothing half-written stays behind in either case.
    """
    text = to_json(trace)
    from_json(text)
    path = directory / file_name(trace, text, kind)
    write_whole(path, text)
    return path


def write_whole(path: Path, text: str, what: str = "a trace") -> None:
    """Write `text`, which is `what`, to `path`, whole or not at all; a missing directory is made.

    Raises `TraceError` when it cannot be written.
    """
    write_bytes(path, text.encode(), what)


def write_bytes(path: Path, data: bytes, what: str) -> None:
    """Do the same with bytes."""
    partial = path.parent / f".{path.name}.{uuid4().hex}.part"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with partial.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        remedy = "make it a writable directory with room, or give another"
        raise TraceError(
            str(path.parent), f"cannot write {what}: {error.strerror}", remedy
        ) from None


def load(path: Path) -> Trace:
    """Return the trace in the file at `path`; raise `TraceError` naming the file and the field."""
    try:
        remedy = "give a trace file: stage3 trace ls shows them"
        return from_json(read_text(path, remedy, MOST_CHARACTERS))
    except TraceError as error:
        culprit = str(path) if error.culprit == str(path) else f"{path}: {error.culprit}"
        raise TraceError(culprit, error.problem, error.remedy) from None


def list_files(directory: Path = DIRECTORY) -> tuple[Path, ...]:
    """Return the trace files in `directory`, by name; raise `TraceError` where there is none."""
    try:
        found = sorted(path for path in directory.iterdir() if path.suffix == ".json")
    except OSError as error:
        remedy = "give a directory that stage3 wrote traces into"
        raise TraceError(str(directory), f"cannot be listed: {error.strerror}", remedy) from None
    return tuple(path for path in found if not path.name.startswith("."))


def file_name(trace: Trace, text: str, kind: str) -> str:
    """Return the name for `trace`, whose JSON is `text`: what found what where, and a digest."""
    cause = trace.failure.cause if trace.failure else "passed"
    digest = blake2b(text.encode(), digest_size=4).hexdigest()
    function = trace.program.target.rpartition(":")[2]
    parts = (kind, re.sub(r"[?&]\w+=", "-", function), cause)
    return "-".join([*map(_word, parts), digest]) + ".json"


def _word(text: str) -> str:
    """Return `text` as it may stand in a file name on any system."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", text).strip("-.")[:_MOST_NAME] or "unnamed"


def read_text(path: Path, remedy: str, most: int = MOST_CHARACTERS) -> str:
    """Return the text of a regular file of at most `most` bytes; raise `TraceError` with `remedy`."""
    try:
        # A pipe or a device would block or never end: ask before opening.
        regular = stat.S_ISREG(path.stat().st_mode)
        data = _read_some(path, most) if regular else b""
    except OSError as error:
        raise TraceError(str(path), f"cannot be read: {error.strerror}", remedy) from None
    except ValueError:  # a null character in the path
        raise TraceError(quoted(str(path)), "is no file name", remedy) from None
    if not regular:
        raise TraceError(str(path), "is not a regular file", remedy)
    if len(data) > most:
        raise TraceError(str(path), f"has more than {most} bytes", remedy)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"byte {error.start} is not UTF-8: this is no text file"
        raise TraceError(str(path), problem, remedy) from None


def _read_some(path: Path, most: int) -> bytes:
    """Return at most one byte more than the file may have."""
    with path.open("rb") as file:
        return file.read(most + 1)
