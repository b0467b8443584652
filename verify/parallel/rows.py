"""Reading JSON that came from a file or from another process: hostile until every field has been looked at.

Promises: each method returns a value of the type it names, within bounds, or raises `RowError` that names field
and value. Does no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from traces.errors import quoted
from traces.schema import MOST_CHOICES

if TYPE_CHECKING:
    from verify.supervise import Json

MOST_NUMBER: Final = 1 << 53
MOST_TEXT: Final = 1 << 20
MOST_TEXTS: Final = 10_000
MOST_ROWS: Final = 100_000


class RowError(ValueError):
    """A field that is missing, or is not what it has to be."""


class Row:
    """One JSON object, read field by field."""

    def __init__(self, value: Json) -> None:
        if not isinstance(value, dict):
            raise RowError(f"{quoted(value)} is no object")
        self.value = value

    def whole(self, name: str, most: int = MOST_NUMBER) -> int:
        """Return a whole number from 0 to `most`."""
        found = self.value.get(name)
        if type(found) is not int or not 0 <= found <= most:
            self._refuse(name, f"a whole number from 0 to {most}")
        return found

    def seconds(self, name: str) -> float:
        """Return a number of seconds, 0 or more."""
        found = self.value.get(name)
        if type(found) not in {int, float} or not 0 <= found < MOST_NUMBER:  # type: ignore[operator] # just asked
            self._refuse(name, "a number of seconds")
        return float(found)  # type: ignore[arg-type] # as above

    def flag(self, name: str) -> bool:
        """Return true or false."""
        found = self.value.get(name)
        if not isinstance(found, bool):
            self._refuse(name, "true or false")
        return found

    def text(self, name: str) -> str:
        """Return a text of at most `MOST_TEXT` characters."""
        found = self.value.get(name)
        if not isinstance(found, str) or len(found) > MOST_TEXT:
            self._refuse(name, f"a text of at most {MOST_TEXT} characters")
        return found

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts."""
        found = self.items(name, MOST_TEXTS)
        if not all(isinstance(each, str) and len(each) <= MOST_TEXT for each in found):
            self._refuse(name, "a list of texts")
        return tuple(map(str, found))

    def choices(self, name: str) -> tuple[int, ...]:
        """Return a schedule."""
        found = self.items(name, MOST_CHOICES)
        if not all(type(each) is int and 0 <= each < MOST_NUMBER for each in found):
            self._refuse(name, "a list of choices")
        return tuple(found)  # type: ignore[arg-type] # just asked

    def rows(self, name: str) -> list[Row]:
        """Return a list of objects."""
        return [Row(each) for each in self.items(name, MOST_ROWS)]

    def items(self, name: str, most: int) -> list[Json]:
        """Return a list of at most `most` values of any kind."""
        found = self.value.get(name)
        if not isinstance(found, list) or len(found) > most:
            self._refuse(name, f"a list of at most {most}")
        return found

    def _refuse(self, name: str, wanted: str) -> NoReturn:
        raise RowError(f"{name} is {quoted(self.value.get(name))}, not {wanted}")
