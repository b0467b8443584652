"""Reads typed fields out of parsed JSON that nobody vouches for.

Promises: what comes out has the asked type and keeps the asked bound, or a `TraceError` names the
field by its path (`tasks[2].stack[0].line`). Missing and unknown fields are refused. A bool is not
a number here, though Python says it is.
"""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, NoReturn, TypeVar

from traces.errors import TraceError, quoted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

T = TypeVar("T")

MOST_TEXT = 65_536
MOST_WHOLE = 2**64 - 1
RECORD_AGAIN = "the file was not written by stage3 or has been edited: record the trace again"


class Fields:
    """The fields of one JSON object, which must be exactly those of the dataclass `shape`.

    `where` is the path of the object from the top of the file, "" for the file itself; `extra`
    names fields that the file has beside those of the class, `optional` fields that may be missing.
    """

    def __init__(
        self,
        value: object,
        where: str,
        shape: type[object],
        extra: tuple[str, ...] = (),
        optional: tuple[str, ...] = (),
    ) -> None:
        self.where = where
        if not isinstance(value, dict):
            wrong(where or "trace", value, "an object")
        names = {*extra, *(f.name for f in fields(shape))}  # type: ignore[arg-type]
        if missing := sorted(names - value.keys() - set(optional)):
            raise TraceError(self.path(missing[0]), "is missing", RECORD_AGAIN)
        if unknown := sorted(value.keys() - names):
            problem = f"unknown field {quoted(unknown[0])}"
            raise TraceError(where or "trace", problem, RECORD_AGAIN)
        self.values: dict[str, object] = value

    def path(self, name: str) -> str:
        """Return the path of field `name` from the top of the file."""
        return f"{self.where}.{name}" if self.where else name

    def text(self, name: str) -> str:
        """Return a string of at most `MOST_TEXT` characters."""
        return as_text(self.values[name], self.path(name))

    def whole(self, name: str) -> int:
        """Return a whole number in [0, `MOST_WHOLE`]."""
        return as_whole(self.values[name], self.path(name))

    def whole_or_none(self, name: str) -> int | None:
        """Return a whole number in [0, `MOST_WHOLE`], or None for null."""
        return None if self.values[name] is None else self.whole(name)

    def flag(self, name: str) -> bool:
        """Return true or false."""
        value = self.values[name]
        if not isinstance(value, bool):
            wrong(self.path(name), value, "true or false")
        return value

    def seconds(self, name: str) -> float:
        """Return a finite number of seconds, zero or more."""
        value = self.values[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            wrong(self.path(name), value, "a number of seconds")
        if not 0 <= value <= MOST_WHOLE:  # a NaN compares false
            wrong(self.path(name), value, f"between 0 and {MOST_WHOLE}")
        return float(value)

    def rows(self, name: str, read: Callable[[object, str], T], most: int) -> tuple[T, ...]:
        """Return the elements of a list of at most `most`, each through `read(value, path)`."""
        path, value = self.path(name), self.values[name]
        if not isinstance(value, list):
            wrong(path, value, "a list")
        if len(value) > most:
            raise TraceError(path, f"has {len(value)} elements, at most {most}", RECORD_AGAIN)
        return tuple(read(element, f"{path}[{i}]") for i, element in enumerate(value))

    def texts(self, name: str, most: int) -> Mapping[str, str]:
        """Return an object of at most `most` strings."""
        path, value = self.path(name), self.values[name]
        if not isinstance(value, dict):
            wrong(path, value, "an object of strings")
        if len(value) > most:
            raise TraceError(path, f"has {len(value)} entries, at most {most}", RECORD_AGAIN)
        return {
            as_text(key, path): as_text(element, f"{path}[{quoted(key)}]")
            for key, element in value.items()
        }


def as_text(value: object, path: str) -> str:
    """Return `value`, a string of at most `MOST_TEXT` characters."""
    if not isinstance(value, str):
        wrong(path, value, "a string")
    if len(value) > MOST_TEXT:
        raise TraceError(path, f"has {len(value)} characters, at most {MOST_TEXT}", RECORD_AGAIN)
    return value


def as_whole(value: object, path: str) -> int:
    """Return `value`, a whole number in [0, `MOST_WHOLE`]."""
    if isinstance(value, bool) or not isinstance(value, int):
        wrong(path, value, "a whole number")
    if not 0 <= value <= MOST_WHOLE:
        wrong(path, value, f"between 0 and {MOST_WHOLE}")
    return value


def wrong(path: str, value: object, expected: str) -> NoReturn:
    """Refuse `value` at `path`."""
    raise TraceError(path, f"{quoted(value)} is not {expected}", RECORD_AGAIN)


def parse(text: str) -> object:
    """Return the value of a JSON text; duplicate names, NaN and bottomless nesting are refused."""
    try:
        value: object = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
    except RecursionError:
        raise TraceError("trace", "is nested too deeply", RECORD_AGAIN) from None
    except json.JSONDecodeError as error:
        problem = f"not JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        raise TraceError("trace", problem, RECORD_AGAIN) from None
    except TraceError:
        raise
    except ValueError as error:  # a number of more digits than Python converts
        raise TraceError("trace", str(error), RECORD_AGAIN) from None
    return value


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise TraceError("trace", f"names {quoted(twice)} twice in one object", RECORD_AGAIN)
    return found


def _no_constant(name: str) -> float:
    raise TraceError("trace", f"{name} is not a number JSON knows", RECORD_AGAIN)
