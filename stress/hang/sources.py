"""The texts of the program's source files at the time of a hang, as digests: whether they changed can be told later.

Promises: only files that threads of a recording stood in, that are neither installed nor the standard library's, at
most `MOST_FILES` of bounded size; a file that cannot be read is left out. `parsed` takes text from anywhere.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from verify.observe.snapshot import Frame, Snapshot

__all__ = ["TITLE", "digest", "digests", "frames_of", "is_program", "parsed"]

TITLE: Final = "source texts"
MOST_FILES: Final = 20
MOST_BYTES: Final = 4 * 1024 * 1024
_LIBRARY: Final = re.compile(r"/lib(64)?/python3(\.\d+t?)?/|/(site|dist)-packages/")
_LINE: Final = re.compile(r"([0-9a-f]{16}) (.+)")


def frames_of(shot: Snapshot) -> Iterator[Frame]:
    """Yield the recorded places of a process: waits, acquisitions, then the last operations."""
    for thread in shot.threads:
        if thread.waiting is not None:
            yield from thread.waiting.stack
        for held in thread.holds:
            yield from held.stack
    for entry in shot.ring:
        yield entry.site


def is_program(file: str) -> bool:
    """Say whether a recorded file is neither installed nor the standard library's."""
    path = PurePath(file)
    return path.suffix == ".py" and not _LIBRARY.search(path.as_posix())


def digest(path: Path) -> str:
    """Return 16 hex digits over the text of a file, "" where it cannot be read or is too long."""
    try:
        if not path.is_file() or path.stat().st_size > MOST_BYTES:
            return ""
        return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
    except (OSError, ValueError):
        return ""


def digests(snapshots: Iterable[Snapshot]) -> str:
    """Return a line `DIGEST FILE` for each source file that the recordings mention."""
    mentioned = (frame.file for shot in snapshots for frame in frames_of(shot))
    files = itertools.islice(dict.fromkeys(filter(is_program, mentioned)), MOST_FILES)
    lines = ((digest(Path(file)), file) for file in files)
    return "\n".join(f"{text} {file}" for text, file in lines if text)


def parsed(text: str) -> dict[str, str]:
    """Return the digests by file that `digests` wrote; lines of another form are left out."""
    found: dict[str, str] = {}
    for line in text.splitlines()[:MOST_FILES]:
        if match := _LINE.fullmatch(line):
            found[match[2]] = match[1]
    return found
