"""Which function hung: as the report's notes say, else as the main thread's stack shows.

Promises: a target that can be run under control, and where it was found, or one `UsageError` that says what to type.
Nothing is imported: whether a function can be called without arguments is read off its source.
"""

from __future__ import annotations

import ast
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stress.hang.sources import is_program
from stress.jobs import targets
from stress.jobs.targets import Kind
from stress.reproduce.evidence import locate
from verify.abc import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stress.reproduce.evidence import Evidence

__all__ = ["Chosen", "find"]

OURS: Final = ("verify", "traces", "stress", "_pytest", "pluggy")
UNDER_TEST: Final = ("stress/zoo", "stress/migration")
"""Parts of these packages that are programs to run, not the toolkit."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """A target `module:function?...`, and a phrase that says where it was found."""

    target: str
    found: str


def find(evidence: Evidence, given: str | None, here: Path) -> Chosen:
    """Return the target: `given`, or what the report says; raise `UsageError` where it says nothing of use."""
    if given is not None:
        (asked,) = targets.parse([given])
        if asked.kind is Kind.PYTEST:
            return Chosen(_of_test(given, here), "a test, by --target")
        return Chosen(asked.function, "by --target")
    notes = evidence.report.notes
    for key in ("target", "test"):
        if key in notes and (chosen := _noted(notes[key], here)):
            return Chosen(chosen, f"by the report's {key}")
    for name in _on_stack(evidence, here):
        return Chosen(name, "by the main thread's stack")
    command = " ".join(evidence.report.command) or "unknown"
    raise UsageError(
        f"which function hung is not to be seen in the report (its command: {command[:200]}); name one that runs the "
        "program without arguments: --target module:function"
    )


def _noted(text: str, here: Path) -> str:
    """Return the target that a note names as a shell would read it, "" where it is a command."""
    try:
        (word,) = shlex.split(text)
        (noted,) = targets.parse([word])
    except ValueError:  # a UsageError is one
        return ""
    return _of_test(word, here) if noted.kind is Kind.PYTEST else noted.function


def _of_test(node: str, here: Path) -> str:
    file, _, name = node.partition("::")
    place = Path(file) if Path(file).is_absolute() else here / file
    inside = place.resolve().is_relative_to(here.resolve())
    if inside and name.isidentifier() and name in _callable(place):
        return f"{_module(place, here)}:{name}"
    raise UsageError(
        f"test {node!r} is no function below {here} without fixtures, parameters and class; write one that does the "
        "same, and say --target module:function"
    )


def _on_stack(evidence: Evidence, here: Path) -> Iterator[str]:
    """Yield the functions on the main thread's stack that can be called without arguments, outermost first."""
    main = next((state for state in evidence.snapshot.threads if state.role == "main"), None)
    places: list[tuple[str, str]] = []
    for row in evidence.report.threads:
        if row.pid == evidence.snapshot.pid and row.role.startswith("main"):
            places += [(frame.file, frame.function) for frame in row.stack if not frame.native]
    if main is not None and main.waiting is not None:
        places += [(frame.file, frame.function) for frame in reversed(main.waiting.stack)]
    for file, function in places:
        place = locate(file, here) if is_program(file) else None
        if place is None or not place.resolve().is_relative_to(here.resolve()):
            continue
        relative = place.resolve().relative_to(here.resolve()).as_posix()
        ours = relative.partition("/")[0] in OURS and not relative.startswith(UNDER_TEST)
        if not ours and function in _callable(place):
            yield f"{_module(place, here)}:{function}"


def _module(place: Path, here: Path) -> str:
    """Return the name under which a file is imported from `here`."""
    parts = place.resolve().relative_to(here.resolve()).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _callable(place: Path) -> frozenset[str]:
    """Return the names of the functions of a file that need no arguments."""
    try:
        tree = ast.parse(place.read_bytes())
    except (OSError, ValueError, SyntaxError, RecursionError, MemoryError):
        return frozenset()
    return frozenset(
        node.name for node in tree.body if isinstance(node, ast.FunctionDef) and _is_bare(node)
    )


def _is_bare(node: ast.FunctionDef) -> bool:
    wanted = node.args
    needed = len(wanted.posonlyargs) + len(wanted.args) - len(wanted.defaults)
    return needed <= 0 and not any(default is None for default in wanted.kw_defaults)
