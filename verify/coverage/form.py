"""Coverage as a value and as JSON: which orders of conflicting operations were run, of which programs.

Promises: `parse(dump(coverage)) == coverage`; `parse` takes text from anywhere and either returns a
coverage whose every field has its type and keeps its bound, or raises `InputError` naming the field. The
same coverage gives the same text. `merge` loses nothing, and refuses two texts of one program: their
lines do not mean the same.
Does no I/O (that is `verify.coverage.store`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple, NoReturn

from traces.errors import InputError, quoted

if TYPE_CHECKING:
    from collections.abc import Mapping

FORMAT: Final = "stage3-coverage"
VERSION: Final = 1
MOST_PAIRS: Final = 100_000
MOST_PROGRAMS: Final = 10_000
MOST_TEXT: Final = 2_000
MOST_BYTES: Final = 1 << 26
MOST_COUNT: Final = 1 << 53
REMEDY: Final = (
    "the file is no coverage of this version, or has been edited: delete it and run again"
)

_DIGEST = re.compile(r"[0-9a-f]{16}")
_TOP: Final = frozenset({"format", "version", "programs", "places", "pairs"})


class Place(NamedTuple):
    """One operation in the source: class of the object, operation, `file:line function`."""

    kind: str
    op: str
    site: str

    def __str__(self) -> str:
        return f"{self.op} {self.kind} at {self.site or 'no line of the program'}"


class Seen(NamedTuple):
    """What one program contributed: the digest of its text, and how many executions were watched."""

    digest: str
    executions: int


@dataclass(frozen=True, slots=True)
class Coverage:
    """Pairs (a, b) that were seen in this order, a first; `programs` by target."""

    programs: Mapping[str, Seen] = field(default_factory=dict)
    pairs: frozenset[tuple[Place, Place]] = frozenset()

    @property
    def goals(self) -> list[tuple[Place, Place]]:
        """Return the pairs that were never seen the other way round, in order."""
        return sorted((a, b) for a, b in self.pairs if (b, a) not in self.pairs)

    @property
    def flipped(self) -> int:
        """How many pairs of different operations were seen both ways round."""
        return sum(a < b and (b, a) in self.pairs for a, b in self.pairs)


def merge(one: Coverage, other: Coverage) -> Coverage:
    """Return what both saw together; raise `InputError` where they saw different texts of one program."""
    programs = dict(one.programs)
    for target, seen in other.programs.items():
        known = programs.get(target)
        if known is not None and known.digest != seen.digest:
            raise InputError(
                target,
                f"coverage of two texts of it (digests {known.digest} and {seen.digest})",
                "lines of one are not lines of the other: delete the older file, or write into another",
            )
        count = seen.executions + (known.executions if known is not None else 0)
        programs[target] = Seen(seen.digest, min(count, MOST_COUNT))
    pairs = one.pairs | other.pairs
    if len(pairs) > MOST_PAIRS or len(programs) > MOST_PROGRAMS:
        raise InputError(
            "coverage",
            f"{len(programs):,} programs with {len(pairs):,} pairs are more than a file holds "
            f"({MOST_PROGRAMS:,}, {MOST_PAIRS:,})",
            "write into several files",
        )
    return Coverage(programs, pairs)


def dump(coverage: Coverage) -> str:
    """Return `coverage` as JSON, a pair a line."""
    places = sorted({place for pair in coverage.pairs for place in pair})
    number = {place: at for at, place in enumerate(places)}
    pairs = sorted([number[a], number[b]] for a, b in coverage.pairs)
    programs = [[target, *seen] for target, seen in sorted(coverage.programs.items())]
    return (
        f'{{"format": "{FORMAT}", "version": {VERSION},\n"programs": {_rows(programs)},\n'
        f'"places": {_rows(places)},\n"pairs": {_rows(pairs)}}}\n'
    )


def _rows(rows: list[list[object]] | list[list[int]] | list[Place]) -> str:
    return "[" + ",\n".join(json.dumps(row) for row in rows) + "]"


def parse(text: str) -> Coverage:
    """Return the coverage in a JSON text."""
    top = _json(text)
    if not isinstance(top, dict) or top.get("format") != FORMAT:
        _wrong("format", top.get("format") if isinstance(top, dict) else top, f'"{FORMAT}"')
    if top.get("version") != VERSION:
        _wrong("version", top.get("version"), f"{VERSION}, the one that this stage3 reads")
    if other := sorted(top.keys() ^ _TOP):
        _wrong("fields", other[0], f"what it has: {', '.join(sorted(_TOP))}")
    programs = {}
    for at, row in enumerate(_list(top, "programs", MOST_PROGRAMS)):
        target, seen = _program(row, f"programs[{at}]")
        programs[target] = seen
    places = [
        _place(row, f"places[{at}]") for at, row in enumerate(_list(top, "places", 2 * MOST_PAIRS))
    ]
    pairs = (
        _pair(row, f"pairs[{at}]", places) for at, row in enumerate(_list(top, "pairs", MOST_PAIRS))
    )
    return Coverage(programs, frozenset(pairs))


def _json(text: str) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError("coverage", f"is no JSON: {quoted(str(error))}", REMEDY) from None
    return value


def _list(top: dict[str, object], name: str, most: int) -> list[object]:
    value = top[name]
    if not isinstance(value, list) or len(value) > most:
        _wrong(name, value, f"a list of at most {most:,}")
    return value


def _program(row: object, where: str) -> tuple[str, Seen]:
    if not isinstance(row, list) or len(row) != 3:
        _wrong(where, row, "[target, digest, executions]")
    target, digest, executions = row
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        _wrong(f"{where} digest", digest, "16 hex digits")
    return _text(target, f"{where} target"), Seen(
        digest, _whole(executions, f"{where} executions", MOST_COUNT)
    )


def _place(row: object, where: str) -> Place:
    if not isinstance(row, list) or len(row) != 3:
        _wrong(where, row, "[class, operation, site]")
    return Place(*(_text(part, where) for part in row))


def _pair(row: object, where: str, places: list[Place]) -> tuple[Place, Place]:
    if not isinstance(row, list) or len(row) != 2:
        _wrong(where, row, "[place, place]")
    first, second = (_whole(part, where, len(places) - 1) for part in row)
    return places[first], places[second]


def _text(value: object, where: str) -> str:
    if not isinstance(value, str) or len(value) > MOST_TEXT:
        _wrong(where, value, f"a string of at most {MOST_TEXT:,} characters")
    return value


def _whole(value: object, where: str, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        _wrong(where, value, f"a whole number from 0 to {most:,}")
    return value


def _wrong(where: str, value: object, wanted: str) -> NoReturn:
    raise InputError(where, f"{quoted(value)} is not {wanted}", REMEDY)
