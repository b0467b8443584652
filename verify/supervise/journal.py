"""The journal of a run: what has ended, one JSON line each, so that a run that was cut off goes on exactly there.

Promises: a task is in the journal or it is run; a line that was cut off in the middle of its writing is
dropped; a journal of another program, version or setting is refused with the difference named; two
runs cannot use one journal. A file is hostile until parsed: bounded, and every line checked.
Does not: keep output or reports, which lie beside it.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Self, cast

from verify.abc import UsageError
from verify.supervise.values import Ended, Fate, Task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from types import TracebackType

    from verify.supervise.values import Json

FORMAT: Final = "stage3-journal"
VERSION: Final = 1
MOST_BYTES: Final = 1 << 30
MOST_NUMBER: Final = 1 << 53


class JournalError(UsageError):
    """A journal that cannot be used; the text names the file and the line or field."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a journal belongs to: the program's digest, and every setting that changes what a task means."""

    program: str
    settings: Mapping[str, str] = field(default_factory=dict)

    def refuse_other(self, path: Path, found: Header) -> None:
        """Raise `JournalError` unless `found`, from the journal at `path`, is the same."""
        remedy = "give the arguments it was written with, or begin anew without it"
        for name in sorted({*self.settings, *found.settings}):
            here, there = (
                self.settings.get(name, "not given"),
                found.settings.get(name, "not given"),
            )
            if here != there:
                raise JournalError(
                    f"journal {path} was written with {name} {there}, now it is {here}; {remedy}"
                )
        if self.program != found.program:
            raise JournalError(
                f"journal {path} belongs to another text of the program (digest {found.program}, now "
                f"{self.program}); check that text out, or begin anew without it"
            )


class Journal:
    """An open journal; use as a context manager. `ended` is what it remembers, by number."""

    def __init__(self, path: Path, descriptor: int, ended: dict[int, Ended]) -> None:
        self.path = path
        self.ended = ended
        self._file = os.fdopen(descriptor, "ab", buffering=0)

    @classmethod
    def create(cls, path: Path, header: Header) -> Self:
        """Begin a journal at `path`, which must not exist."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(
                path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o644
            )
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            there = isinstance(error, FileExistsError)
            remedy = "name a new file" + (", or --resume to go on with this one" if there else "")
            raise JournalError(f"journal {path} cannot be made: {why}; {remedy}") from None
        _lock(path, descriptor)
        journal = cls(path, descriptor, {})
        journal.write_line(
            {
                "format": FORMAT,
                "version": VERSION,
                "program": header.program,
                "settings": dict(header.settings),
            }
        )
        return journal

    @classmethod
    def resume(cls, path: Path, header: Header) -> Self:
        """Open the journal at `path` and read it; raise `JournalError` when it is not this run's."""
        descriptor = _opened(path, os.O_RDWR | os.O_APPEND)
        try:
            _lock(path, descriptor)  # before it is read: what another run adds until it ends counts
            data = _content(path, descriptor)
            whole = data.rfind(b"\n") + 1
            found, ended = parse(path, data[:whole])
            header.refuse_other(path, found)
            os.ftruncate(descriptor, whole)  # a line that was cut off: its task is run again
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, ended)

    def write(self, ended: Ended) -> None:
        """Remember a task that has ended. One write for one line, so that a kill leaves at most a torn last line."""
        line: dict[str, Json] = {
            "number": ended.task.number,
            "seed": ended.task.seed,
            "fate": str(ended.fate),
            "seconds": round(ended.seconds, 6),
        }
        if ended.task.what:
            line["what"] = dict(ended.task.what)
        if ended.message:
            line["message"] = ended.message
        if ended.value is not None:
            line["value"] = ended.value
        self.write_line(line)

    def write_line(self, line: dict[str, Json]) -> None:
        """Append one object."""
        data = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        try:
            self._file.write(data)
        except OSError as error:
            raise JournalError(
                f"journal {self.path} cannot be written: {error.strerror}; make room"
            ) from None

    def close(self) -> None:
        """Close the file, which frees it for others."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read(path: Path) -> tuple[Header, dict[int, Ended]]:
    """Read a journal that may be in use, up to its last whole line; raise `JournalError` when it is none."""
    descriptor = _opened(path, os.O_RDONLY)
    try:
        data = _content(path, descriptor)
    finally:
        os.close(descriptor)
    return parse(path, data[: data.rfind(b"\n") + 1])


def _opened(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise JournalError(
            f"journal {path} cannot be read: {why}; name the journal of an earlier run"
        ) from None


def _lock(path: Path, descriptor: int) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise JournalError(
            f"journal {path} is in use by another run; wait for it, or begin anew"
        ) from None


def _content(path: Path, descriptor: int) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size > MOST_BYTES:
        raise JournalError(
            f"journal {path} is no regular file of at most {MOST_BYTES} bytes; name another"
        )
    with os.fdopen(os.dup(descriptor), "rb") as file:
        file.seek(0)
        return file.read()


def parse(path: Path, data: bytes) -> tuple[Header, dict[int, Ended]]:
    """Read a journal's whole lines; raise `JournalError` naming the first that is wrong."""
    lines = data.splitlines()
    header = _header(path, lines[0] if lines else b"")
    ended: dict[int, Ended] = {}
    for at, line in enumerate(lines[1:], 2):
        one = _ended(_object(line))
        if one is None or one.task.number in ended:
            raise JournalError(
                f"journal {path}, line {at}: no task that ended, or one that ended before; "
                "this file is damaged: begin anew without it"
            )
        ended[one.task.number] = one
    return header, ended


def _object(line: bytes) -> dict[str, Json] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Json]", value) if isinstance(value, dict) else None


def _header(path: Path, line: bytes) -> Header:
    found = _object(line)
    if found is None or found.get("format") != FORMAT:
        raise JournalError(f"{path} is no journal of stage3; name the journal of an earlier run")
    if found.get("version") != VERSION:
        raise JournalError(
            f"journal {path} has version {ascii(found.get('version'))[:20]}, this stage3 reads {VERSION}; "
            "begin anew without it"
        )
    program, settings = found.get("program"), found.get("settings")
    texts = [program, *settings.values()] if isinstance(settings, dict) else [None]
    if not isinstance(program, str) or not all(isinstance(text, str) for text in texts):
        raise JournalError(
            f"journal {path}, line 1: program and settings must be text; begin anew without it"
        )
    return Header(program, cast("dict[str, str]", settings))


def _ended(line: dict[str, Json] | None) -> Ended | None:
    """Return what a line says, or None when it says nothing that can be used."""
    if line is None:
        return None
    number, seed, seconds = line.get("number"), line.get("seed"), _seconds(line.get("seconds"))
    fate, message, what = line.get("fate"), line.get("message", ""), line.get("what", {})
    known = any(fate == each for each in Fate)
    if not (
        known and isinstance(fate, str) and isinstance(message, str) and isinstance(what, dict)
    ):
        return None
    if not (_whole(number) and _whole(seed)) or seconds is None:
        return None
    task = Task(cast("int", number), cast("int", seed), what)
    return Ended(task, Fate(fate), message, line.get("value"), seconds, resumed=True)


def _whole(value: Json) -> bool:
    return type(value) is int and 0 <= value < MOST_NUMBER


def _seconds(value: Json) -> float | None:
    if not isinstance(value, int | float) or not 0 <= value < MOST_NUMBER:
        return None
    return float(value)
