"""GitHub Actions: annotations and the step summary of a stress job.

Promises: at most ten errors and ten warnings, and a summary of at most 1 MiB together with what the step wrote
before: GitHub drops what goes beyond, without a word. What a program printed cannot be taken for a command.
Source: GitHub's documentation of workflow commands.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from stress.jobs.outcome import JobResult, Problem

MOST_ERRORS: Final = 10
MOST_WARNINGS: Final = 10
MOST_SUMMARY: Final = 1 << 20
MOST_MESSAGE: Final = 2000
MOST_ROWS: Final = 1000


def publish(result: JobResult) -> None:
    """Print the annotations; append to the file that `GITHUB_STEP_SUMMARY` names."""
    for line in commands(result):
        sys.stdout.write(line + "\n")
    sys.stdout.flush()
    named = os.environ.get("GITHUB_STEP_SUMMARY")
    if not named:
        return
    try:
        with Path(named).open("ab") as file:
            file.write(summary(result, MOST_SUMMARY - file.tell()))
    except OSError as error:
        sys.stderr.write(f"stage3 stress: no step summary in {named}: {error.strerror}\n")


def commands(result: JobResult) -> list[str]:
    """Return workflow commands: an error for each problem, a warning for each kind of note; bounded."""
    problems = result.problems
    lines = [_error(problem, result) for problem in problems[:MOST_ERRORS]]
    if len(problems) > MOST_ERRORS:
        more = len(problems) - MOST_ERRORS + 1
        lines[-1] = _command("error", f"{more} more runs did not pass", title="stage3 stress")
    notes = [f"{many:,} runs: {note}" for note, many in result.notes.most_common(MOST_WARNINGS)]
    notes += [f"{target}: {many:,} runs skipped" for target, many in result.skipped.items()]
    return lines + [
        _command("warning", note, title="stage3 stress") for note in notes[:MOST_WARNINGS]
    ]


def _error(problem: Problem, result: JobResult) -> str:
    file, _, line = problem.where.rpartition(":")
    place = {"file": _relative(file), "line": line} if file and line.isdecimal() else {}
    text = f"{problem.headline}\nagain: {problem.again}"
    if problem.folder:
        text += f"\nkept: {result.folder / problem.folder}"
    return _command("error", text, **place, title=f"stage3 stress: {problem.target}")


def _relative(file: str) -> str:
    root = os.environ.get("GITHUB_WORKSPACE") or str(Path.cwd())
    return file.removeprefix(root.rstrip("/") + "/")


def _command(name: str, text: str, **properties: str) -> str:
    words = ",".join(f"{key}={escaped(value, ':,')}" for key, value in properties.items())
    return f"::{name} {words}::{escaped(text[:MOST_MESSAGE])}"


def escaped(text: str, more: str = "") -> str:
    """Return `text` as it may stand in a workflow command: one line, nothing that ends it early."""
    for character in ("%", "\r", "\n", *more):
        text = text.replace(character, f"%{ord(character):02X}")
    return "".join(c if c.isprintable() or c == " " else "\ufffd" for c in text)


def summary(result: JobResult, room: int) -> bytes:
    """Return Markdown of at most `room` bytes: whole lines, and a last one that says what was left out."""
    left_out = b"\n(more was found than fits here: see the artifacts)\n"
    kept = bytearray()
    for line in _markdown(result):
        data = line.encode("utf-8", "replace") + b"\n"
        if len(kept) + len(data) + len(left_out) > room:
            return bytes(kept) + left_out if len(left_out) <= room else b""
        kept += data
    return bytes(kept)


def _markdown(result: JobResult) -> list[str]:
    settings = result.settings
    noise = cell(" ".join(settings.noise.words()) or "none")
    lines = [
        "### stage3 stress",
        "",
        cell(result.verdict),
        "",
        f"seed {settings.seed}, {result.done:,} runs, {result.seconds:.0f} s, noise: {noise}",
        "",
    ]
    if result.problems:
        lines += ["| run | seed | target | what happened | again |", "|---|---|---|---|---|"]
    for problem in result.problems[:MOST_ROWS]:
        texts = (problem.target, f"{problem.verdict}: {problem.message}", problem.again)
        lines.append(
            f"| {problem.number} | {problem.seed} | " + " | ".join(map(cell, texts)) + " |"
        )
    return lines


def cell(text: str) -> str:
    """Return the first line of `text` as it may stand in a table: no Markdown, no HTML."""
    line = next((line for line in text.splitlines() if line.strip()), "")[:300]
    return "".join(
        f"&#{ord(c)};" if c in "&<>|`*_[]\\!#~$@" else c if c.isprintable() else " " for c in line
    )
