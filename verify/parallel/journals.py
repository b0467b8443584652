"""Journals of the shards of one search, read together.

Promises: journals of different searches, of one shard twice, of other divisions, and damaged ones are refused, with
the file and the difference named; what is not there is named, too. The files are only read: a shard may still be at
work.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from verify.parallel.batches import of_ended
from verify.parallel.merging import Batches
from verify.parallel.rows import RowError
from verify.parallel.search import Search
from verify.supervise import Fate, Header, JournalError, Shard, read

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from verify.supervise import Ended

MOST_NAMED: Final = 5


@dataclass(frozen=True, slots=True)
class Part:
    """One shard's journal."""

    path: Path
    header: Header
    search: Search
    ended: dict[int, Ended]


def open_part(path: Path) -> Part:
    """Read one journal; raise `JournalError` for what is none of a search."""
    header, ended = read(path)
    try:
        return Part(path, header, Search.of_header(header), ended)
    except RowError as error:
        raise JournalError(
            f"journal {path} is not of stage3 explore: {error}; name one that --journal or --resume wrote"
        ) from None


def gather(paths: Sequence[Path]) -> tuple[Batches, list[str]]:
    """Return the batches of all, as of one undivided search, and what is missing, in words."""
    parts = [open_part(path) for path in paths]
    first = parts[0]
    seen: dict[int, Path] = {}
    for part in parts:
        _refuse_other(first, part)
        shard = part.search.shard
        if shard.part in seen:
            raise JournalError(
                f"journals {seen[shard.part]} and {part.path} are both of shard {shard}; name one of them"
            )
        seen[shard.part] = part.path
    batches = Batches(replace(first.search, shard=Shard()))
    for part in parts:
        for number, ended in part.ended.items():
            _check(part, ended)
            batches.add(number, of_ended(ended))
    return batches, _missing(batches, {part.search.shard.part: part for part in parts})


def _refuse_other(first: Part, part: Part) -> None:
    """Raise unless both belong to one search and one division of it."""
    if part.search.shard.parts != first.search.shard.parts:
        raise JournalError(
            f"journal {first.path} is shard {first.search.shard}, {part.path} shard {part.search.shard}: "
            "two divisions of a search; name the journals of one"
        )
    one, other = _settings(first), _settings(part)
    for name in sorted({*one, *other}):
        if one.get(name) != other.get(name):
            raise JournalError(
                f"journals {first.path} and {part.path} are of two searches: {name} is {_shown(one.get(name))} in the "
                f"one, {_shown(other.get(name))} in the other; name the journals of one search"
            )


def _settings(part: Part) -> dict[str, str]:
    return {**part.header.settings, "shard": "", "the program's digest": part.header.program}


def _shown(value: str | None) -> str:
    return "not given" if value is None else value[:80] or "nothing"


def _check(part: Part, ended: Ended) -> None:
    """Raise when a line of a journal is about no batch of its shard."""
    search, task = part.search, ended.task
    total = search.batches
    fits = task.number in search.shard and (total is None or task.number < total)
    if not fits or task.seed != search.seed_of(task.number):
        raise JournalError(
            f"journal {part.path}: batch {task.number} with seed {task.seed} is none of shard {search.shard}; "
            "this file is damaged: leave it out, and run the shard again"
        )
    if ended.fate in {Fate.FAILED, Fate.RAISED}:
        raise JournalError(
            f"journal {part.path}: batch {task.number} failed in its worker: {ended.message[-200:]}; "
            "run the shard again"
        )


def _missing(batches: Batches, there: dict[int, Part]) -> list[str]:
    words: list[str] = []
    search = next(iter(there.values())).search
    parts = search.shard.parts
    for at in range(1, parts + 1):
        shard = Shard(at, parts)
        if at not in there:
            line = replace(search, shard=shard).line("--journal", "FILE")
            words.append(f"shard {shard} is missing: run it with {line}")
            continue
        missing = batches.missing(at, parts)
        if missing:
            named = ", ".join(map(str, missing[:MOST_NAMED]))
            more = f" and {len(missing) - MOST_NAMED:,} more" if len(missing) > MOST_NAMED else ""
            part = there[at]
            line = part.search.line("--resume", str(part.path))
            words.append(f"shard {shard} is not finished: no batch {named}{more}; go on: {line}")
    return words[: MOST_NAMED * 4]
