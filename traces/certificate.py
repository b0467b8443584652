"""A certificate: the executions that an exhausted search ran, as a text and back.

Promises: `from_text(to_text(certificate)) == certificate`; anything else is refused, and the refusal names the field or
the line. The first line is a JSON object; each line after it is one execution: how many choices it has in common with
the execution before, then the rest. Every number is bounded, and so is what a short text can expand to. Runs no
program, and does no I/O.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from traces._fields import Fields, parse, wrong
from traces.errors import InputError, TraceError, quoted
from traces.schema import Program, program_of

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "CLASSES", "MOST_CHOICES", "MOST_EXECUTIONS", "TREE", "Certificate", "CertificateError", "from_text", "to_text",
]  # fmt: skip

FORMAT: Final = "stage3-certificate"
VERSION: Final = 1
TREE: Final = "every schedule"
"""The executions are all schedules, up to a bound of preemptions."""
CLASSES: Final = "every class"
"""The executions hold one at least of each class of schedules that differ in the order of independent operations."""
MOST_EXECUTIONS: Final = 1_000_000
MOST_CHOICES: Final = 20_000_000
"""Of all executions together."""
MOST_CHARACTERS: Final = 256 * 1024 * 1024
EXPLORE_AGAIN: Final = (
    "the file was not written by stage3 or has been edited: explore again with --certificate"
)
_LINE: Final = re.compile(r"[0-9]{1,7}( [0-9]{1,5})*")


class CertificateError(InputError):
    """A certificate that cannot be read; `culprit` is a field or a line."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What an exhausted search says it has run.

    `method` is `TREE` or `CLASSES`; `preemptions` the bound of the search, None without one; `classes` and `races` how
    many classes and reversed races the search counted, None where it counts none.
    """

    program: Program
    strategy: str
    seed: int
    method: str
    preemptions: int | None
    classes: int | None
    races: int | None
    executions: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class _Head:
    format: str
    version: int
    program: Program
    strategy: str
    seed: int
    method: str
    preemptions: int | None
    classes: int | None
    races: int | None
    executions: int


def to_text(certificate: Certificate) -> str:
    """Return the text of a certificate."""
    values = {name: getattr(certificate, name) for name in Certificate.__slots__}
    values["program"] = asdict(certificate.program)
    head = {
        "format": FORMAT,
        "version": VERSION,
        **values,
        "executions": len(certificate.executions),
    }
    lines = [json.dumps(head)]
    before: Sequence[int] = ()
    for choices in certificate.executions:
        common = sum(
            1
            for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, choices, strict=False))
        )
        lines.append(" ".join(map(str, (common, *choices[common:]))))
        before = choices
    return "\n".join(lines) + "\n"


def from_text(text: str) -> Certificate:
    """Return the certificate that `text` holds; raise `CertificateError`."""
    if len(text) > MOST_CHARACTERS:
        problem = f"has {len(text)} characters, at most {MOST_CHARACTERS}"
        raise CertificateError("certificate", problem, EXPLORE_AGAIN)
    first, _, rest = text.partition("\n")
    try:
        head = _head(first)
    except TraceError as error:
        culprit = "certificate" if error.culprit == "trace" else error.culprit
        raise CertificateError(culprit, error.problem, _remedy(error.remedy)) from None
    executions = _executions(rest, head.executions)
    return Certificate(
        head.program, head.strategy, head.seed, head.method, head.preemptions, head.classes, head.races, executions
    )  # fmt: skip


def _remedy(remedy: str) -> str:
    return EXPLORE_AGAIN if "trace again" in remedy else remedy


def _head(text: str) -> _Head:
    value = parse(text)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        raise TraceError("format", f'this is not a "{FORMAT}" file', "give a file stage3 wrote")
    version = value.get("version")
    if isinstance(version, bool) or version != VERSION:
        problem = f"{quoted(version)}, but this stage3 reads version {VERSION}"
        raise TraceError("version", problem, "use the stage3 that wrote it, or explore again")
    fields = Fields(value, "", _Head)
    method = fields.text("method")
    if method not in {TREE, CLASSES}:
        wrong("method", method, f"one of {TREE!r}, {CLASSES!r}")
    bound = fields.whole_or_none("preemptions")
    if method == CLASSES and bound is not None:
        wrong("preemptions", bound, f"null, as it has to be where the method is {CLASSES!r}")
    executions = fields.whole("executions")
    if executions > MOST_EXECUTIONS:
        wrong("executions", executions, f"at most {MOST_EXECUTIONS}")
    return _Head(
        FORMAT,
        VERSION,
        program_of(fields.values["program"], "program"),
        fields.text("strategy"),
        fields.whole("seed"),
        method,
        bound,
        fields.whole_or_none("classes"),
        fields.whole_or_none("races"),
        executions,
    )


def _executions(text: str, count: int) -> tuple[tuple[int, ...], ...]:
    lines = text.split("\n", count + 1)
    if len(lines) != count + 1 or lines[-1]:
        said = f"has {len(lines) - 1} lines of executions or more, and names {count}"
        raise CertificateError("certificate", said, EXPLORE_AGAIN)
    found: list[tuple[int, ...]] = []
    before: tuple[int, ...] = ()
    total = 0
    for number, line in enumerate(lines[:-1], 2):
        where = f"line {number}"
        if not _LINE.fullmatch(line):
            raise CertificateError(where, f"{quoted(line)} is no row of numbers", EXPLORE_AGAIN)
        common, *rest = map(int, line.split(" "))
        if common > len(before):
            said = f"has {common} choices in common with one of {len(before)}"
            raise CertificateError(where, said, EXPLORE_AGAIN)
        total += common + len(rest)
        if total > MOST_CHOICES:
            raise CertificateError(
                where, f"there are more than {MOST_CHOICES} choices", EXPLORE_AGAIN
            )
        before = (*before[:common], *rest)
        found.append(before)
    return tuple(found)
