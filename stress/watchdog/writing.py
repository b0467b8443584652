"""Writes a report's three files, whatever goes wrong with one of them.

Promises: `hang-PID.txt`, `.json` and `.html` are each there whole or not at all; what fails becomes a
sentence, and the others are written anyway. The directory's index lists them.
A second report on one process gets a number.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, NamedTuple

from stress.files import write_whole
from stress.hang import html, schema, text
from traces.artifacts import write_index
from traces.errors import TraceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stress.hang.model import HangReport

__all__ = ["Written", "stem_for", "write"]


class Written(NamedTuple):
    """The files of a report that were written, and what could not be."""

    files: tuple[Path, ...]
    problems: tuple[str, ...]

    def of(self, suffix: str) -> Path | None:
        """Return the file with that suffix, if it was written."""
        return next((path for path in self.files if path.suffix == suffix), None)


def stem_for(directory: Path, pid: int) -> str:
    """Return the first name `hang-PID`, `hang-PID-2`, ... that no file in `directory` has."""
    stem, number = f"hang-{pid}", 1
    while any((directory / f"{stem}{suffix}").exists() for suffix in (".txt", ".json", ".html")):
        number += 1
        stem = f"hang-{pid}-{number}"
    return stem


def write(directory: Path, report: HangReport, stem: str) -> Written:
    """Write the three files of `report` into `directory`, which is made where it is missing."""
    files: list[Path] = []
    problems: list[str] = []
    makers: tuple[tuple[str, Callable[[HangReport], str]], ...] = (
        (".txt", text.show),
        (".json", schema.to_json),
        (".html", html.page),
    )
    for suffix, make in makers:
        path = directory / f"{stem}{suffix}"
        try:
            write_whole(path, make(report))
            files.append(path)
        except OSError as error:
            problems.append(f"{path} was not written: {error.strerror or error}")
        except Exception:  # noqa: BLE001 - a fault in one format must not cost the others
            problems.append(f"internal error in stage3: {path}: {traceback.format_exc(limit=-3)}")
    if files:
        try:
            write_index(directory)
        except TraceError as error:
            problems.append(str(error))
    return Written(tuple(files), tuple(problems))
