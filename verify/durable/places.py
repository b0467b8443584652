"""Names an operation by what survives edits: function, source line, object, its making; a thread by its role.

Promises: the same text gives the same names in every schedule and process; no line number is in them.
Assumes that the source files say what runs, and that the execution records sites: objects have no titles without.
"""

from __future__ import annotations

import linecache
import re
from typing import TYPE_CHECKING, NamedTuple

from traces.anchors import MOST_SHOWN, Place
from verify.abc import name_of
from verify.runtime.naming import Named
from verify.runtime.task import Task

if TYPE_CHECKING:
    from verify.abc import ExecutionView, TaskView

MAIN = "main"
_NUMBER = re.compile(r"[-_#]?\d+")
_MAKER = re.compile(r"(main|early)(/\d+)*:")
_WORDS = re.compile(r"\"[^\"]*\"|'[^']*'|#.*|\w+|\S")
_KEY = re.compile(r"(?:(?P<op>\S+) at )?(?P<site>\S.*:\d+ \S+)")
_LOOP = re.compile(r"(?P<op>\S+) at \S.* (?P<function>\S+)")
MOST_CHARACTERS = 400
"""Of a line, or a name: what is longer is cut."""


def role_of_task(task: TaskView) -> str:
    """Return what a thread is called, without the numbers that depend on what ran before."""
    return MAIN if task.index == 0 else role_of_title(task.title)


def role_of_title(title: str) -> str:
    """Return a thread's name without numbers: `Thread-3 (move)` is `Thread (move)`."""
    return " ".join(_NUMBER.sub("", title).split())


def words(line: str) -> list[str]:
    """Return the words of a source line, without spaces and comments."""
    return [word for word in _WORDS.findall(line) if not word.startswith("#")]


def line_of_site(site: str) -> tuple[str, str]:
    """Return the function and the source line of `file:line function`, each "" where there is none."""
    place, _, function = site.rpartition(" ")
    file, _, number = place.rpartition(":")
    function = _cut(function)
    if not number.isdecimal():
        return function, ""
    linecache.checkcache(file)  # an earlier text of this name may have been read
    return function, _cut(" ".join(words(linecache.getline(file, int(number)))))


def shown_at(key: tuple[str, ...]) -> tuple[Place, ...]:
    """Return what a failure's key names, as places: sites by function and line, all else as it is."""
    out: list[Place] = []
    kind = ""
    for text in key:
        found = _KEY.fullmatch(text)
        loop = _LOOP.fullmatch(text) if found is None else None
        if found is not None:
            function, line = line_of_site(found["site"])
            out.append(Place(function, line, _cut(found["op"] or kind), "", ""))
        elif loop is not None:
            out.append(Place(_cut(loop["function"]), "", _cut(loop["op"]), "", ""))
        else:
            out += [Place("", "", kind, "", "")] if kind else []
            kind = _cut(text)
            continue
        kind = ""
    out += [Place("", "", kind, "", "")] if kind else []
    return tuple(out[:MOST_SHOWN])


def _cut(text: str) -> str:
    return text[:MOST_CHARACTERS]


class Describer:
    """Names operations; what was read of a source line is kept."""

    def __init__(self) -> None:
        self.known: dict[Seen, Place] = {}

    def place(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> Place:
        """Return where `task` does `op` to `target`."""
        return self.named(seen(execution, task, op, target))

    def named(self, what: Seen) -> Place:
        """Return the place of an operation that was seen; reads source files."""
        place = self.known.get(what)
        if place is None:
            function, line = line_of_site(what.site)
            made = line_of_site(what.made)[1] if what.made else ""
            place = self.known[what] = Place(function, line, what.op, what.object, made)
        return place


class Seen(NamedTuple):
    """An operation as it was seen: sites are `file:line function`."""

    site: str
    op: str
    object: str
    made: str


def seen(execution: ExecutionView, task: TaskView, op: str, target: object) -> Seen:
    """Return what `task` does; no file is read."""
    made = target.site if isinstance(target, Named) else ""
    return Seen(execution.site_of(task), op, _cut(_called(target)), made)


def _called(target: object) -> str:
    if isinstance(target, Named):
        return target.label or target.KIND
    if isinstance(target, Task):
        return role_of_task(target)
    pair, item = getattr(target, "pair", ""), getattr(target, "item", "")
    if pair:
        return f"{pair}[{item}]" if item else str(pair)
    return _NUMBER.sub("", _MAKER.sub("", name_of(target)))
