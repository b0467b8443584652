"""What a hang report gives a search to work with: the recording of the process to blame, and what became of its source.

Promises: a report that has no recording to steer by is one `HangError` that says what to do.
`changes` compares the recorded places with the source as it is now.
Does not: run or import the program.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final

from stress.hang import sources
from stress.hang.schema import HangError
from stress.jobs.recording import BEGAN
from verify.course import Course, course_of

if TYPE_CHECKING:
    from stress.hang.model import HangReport
    from verify.observe.snapshot import Frame, Snapshot

__all__ = ["Evidence", "changes", "of"]

MOST_SOURCE: Final = 4 * 1024 * 1024
MOST_CHANGES: Final = 5

Spans = dict[str, list[tuple[int, int]]] | None
"""First and last lines of functions, by name; None where they are not known."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """A report, the recording of the process to blame, and the order of operations in it."""

    report: HangReport
    snapshot: Snapshot
    course: Course

    @property
    def busy(self) -> frozenset[tuple[str, str]]:
        """The functions, as (file name, name), in which a thread of the process was that waited for nothing."""
        return frozenset(
            (PurePath(frame.file).name, frame.function.rpartition(".")[2])
            for row in self.report.threads
            if row.pid == self.snapshot.pid and not row.waits_for
            for frame in row.stack
            if not frame.native
        )


def of(report: HangReport, name: str) -> Evidence:
    """Return what `report` gives to steer by; raise `HangError` where it has no recorded operations."""
    shot = next((shot for shot in report.snapshots if shot.pid == report.pid), None)
    if shot is None or not shot.ring:
        problem = f"holds no recorded operations of process {report.pid}, which it blames"
        raise HangError(name, problem, "record it: stage3 watch -- COMMAND, without --no-record")
    began = shot.notes.get(BEGAN, "")
    since = int(began) if began.isascii() and began.isdecimal() and len(began) < 20 else 0
    course = course_of(shot, since_ns=since)
    return Evidence(report, shot, course)


def locate(file: str, here: Path) -> Path | None:
    """Return the source file that a recorded path means: there, or below `here` under the end of that path."""
    recorded = PurePath(file)
    if recorded.suffix != ".py":
        return None
    places = [Path(file), *(here.joinpath(*recorded.parts[at:]) for at in range(1, len(recorded.parts)))]  # fmt: skip
    for place in places:
        try:
            if place.is_file() and place.stat().st_size <= MOST_SOURCE:
                return place
        except (OSError, ValueError):
            continue
    return None


def changes(evidence: Evidence, here: Path) -> list[str]:
    """Say, in sentences, what shows that the program is another text than the one that hung.

    By the digests in the report; and for files without one by whether recorded lines still stand in their functions.
    """
    then = sources.parsed(evidence.report.attached.get(sources.TITLE, ""))
    places: dict[str, Path | None] = {}
    found: dict[str, str] = {}
    spans: dict[str, Spans] = {}
    for frame in dict.fromkeys(sources.frames_of(evidence.snapshot)):
        file = frame.file
        if file in found or not sources.is_program(file):
            continue
        if file not in places:
            places[file] = place = locate(file, here)
            if place is None:
                found[file] = f"{file}, where it hung, is not there"
            elif file in then and then[file] != sources.digest(place):
                found[file] = f"{place} has changed since"
            spans[file] = _spans(place) if place is not None and file not in then else None
        if not _stands(frame, spans[file]):
            found[file] = f"line {frame.line} of {file} is not in {frame.function} any more"
    own = f"{sys.version_info.major}.{sys.version_info.minor}."
    recorded = evidence.snapshot.python
    other = [] if recorded.startswith(own) else [f"recorded on Python {recorded}"]
    return [*other, *found.values()][:MOST_CHANGES]


def _stands(frame: Frame, spans: Spans) -> bool:
    """Say whether a line is still in its function, as far as that is known."""
    name = frame.function.rpartition(".")[2]
    if spans is None or not frame.line or name.startswith("<"):
        return True
    return any(first <= frame.line <= last for first, last in spans.get(name, []))


def _spans(place: Path) -> Spans:
    """Return the first and last line of every function of a file, by name."""
    try:
        tree = ast.parse(place.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return None
    spans: dict[str, list[tuple[int, int]]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            spans.setdefault(node.name, []).append((node.lineno, node.end_lineno or node.lineno))
    return spans
