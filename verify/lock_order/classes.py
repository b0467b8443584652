"""The class of a lock: what the program calls it and where it is made.

Promises: an id reads well, is the same in every process and on every day, and outlives edits that move lines: only a
lock to which the program gives no name is told by its line.
"""

from __future__ import annotations

import re
from typing import Final

from traces.lock_order import LockClass

__all__ = ["DECLARED", "class_of", "unnumbered"]

DECLARED: Final = "declared"
"""Kind of a lock of the program's own making (`verify.lock_acquiring`)."""

_SITE: Final = re.compile(r"(.*):([0-9]{1,9}) (.*)", re.DOTALL)
_NUMBER: Final = re.compile(r"#[0-9]+$")
_LONGEST: Final = 1000


def unnumbered(title: str) -> str:
    """Return a title without the number that tells it from others of its name."""
    return _NUMBER.sub("", title)


def class_of(name: str, kind: str, site: str) -> LockClass:
    """Return the class of a lock that the program calls `name` ("": nothing), made at `site` ("": not known)."""
    name = unnumbered(name)[:_LONGEST]
    found = _SITE.fullmatch(site)
    file, line, function = found.groups() if found is not None else ("", "0", "")
    place = f"{file} {function}" if name else f"{file}:{line} {function}"
    known = f"{name or kind} ({kind}, {place})" if file else f"{name or kind} ({kind})"
    return LockClass(
        id=known[: 4 * _LONGEST],
        name=name,
        kind=kind,
        file=file[:_LONGEST],
        function=function[:_LONGEST],
        line=int(line),
        most=0,
        handed=False,
    )
