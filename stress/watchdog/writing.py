"""Writes a report's three files, whatever goes wrong with one of them.

Promises: `hang-PID.txt`, `.json` and `.html` are each there whole or not at all; what fails becomes a
sentence, and the others are written anyway. A second report on one process gets a number.
"""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING, NamedTuple

from stress.hang import html, schema, text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stress.hang.model import HangReport

__all__ = ["Written", "unusable", "write", "write_whole"]


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
    return Written(tuple(files), tuple(problems))


def unusable(directory: Path) -> str:
    """Say why nothing could be written into `directory`, or into the nearest one above that exists; makes nothing."""
    for place in (directory, *directory.parents):
        if place.exists():
            if not place.is_dir():
                return f"{place} is no directory"
            return "" if os.access(place, os.W_OK | os.X_OK) else f"{place} cannot be written"
    return ""


def write_whole(path: Path, content: str) -> None:
    """Write `content` to `path`, whole or not at all; its directory is made where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    try:
        partial.write_text(content, encoding="utf-8", errors="backslashreplace")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
