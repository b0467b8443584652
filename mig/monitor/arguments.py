"""The types of commands' arguments: checked once, in QEMU's words, before a command sees them.

Promises: `check` returns a value of the described shape or raises `QmpError` that names the argument;
nothing unexpected and nothing missing passes.
Does not: know what a command does with them.

Source: QEMU 7.2, qapi/qobject-input-visitor.c (paths such as `capabilities[0].state`).
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final, Protocol

from mig.monitor.messages import QmpError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mig.monitor.messages import Json

_SHOWN: Final = 40


class Kind(Protocol):
    """A type of argument."""

    def check(self, value: Json, where: str) -> None:
        """Raise `QmpError` unless `value` is of this type; `where` names it."""


def _wrong_type(where: str, expected: str) -> QmpError:
    return QmpError(f"Invalid parameter type for '{where}', expected: {expected}")


class Text:
    """A string."""

    def check(self, value: Json, where: str) -> None:
        """See `Kind`."""
        if not isinstance(value, str):
            raise _wrong_type(where, "string")


class Flag:
    """A boolean."""

    def check(self, value: Json, where: str) -> None:
        """See `Kind`."""
        if not isinstance(value, bool):
            raise _wrong_type(where, "boolean")


class Whole:
    """A whole number; its limits are the matter of whom it is given to."""

    def check(self, value: Json, where: str) -> None:
        """See `Kind`."""
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong_type(where, "integer")


@dataclasses.dataclass(frozen=True, slots=True)
class Choice:
    """One of some words."""

    words: Sequence[str]

    def check(self, value: Json, where: str) -> None:
        """See `Kind`."""
        if not isinstance(value, str):
            raise _wrong_type(where, "string")
        if value not in self.words:
            known = ", ".join(self.words) or "nothing"
            raise QmpError(
                f"Parameter '{where}' does not accept value '{value[:_SHOWN]}'; use {known}"
            )


@dataclasses.dataclass(frozen=True, slots=True)
class ListOf:
    """Any number of values of one type."""

    kind: Kind

    def check(self, value: Json, where: str) -> None:
        """See `Kind`."""
        if not isinstance(value, list):
            raise _wrong_type(where, "array")
        for number, item in enumerate(value):
            self.kind.check(item, f"{where}[{number}]")


@dataclasses.dataclass(frozen=True, slots=True)
class Field:
    """A member of a `Struct`."""

    name: str
    kind: Kind
    optional: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Struct:
    """An object with just these members."""

    fields: tuple[Field, ...] = ()

    def check(self, value: Json, where: str = "") -> None:
        """See `Kind`; `where` is empty for the arguments as a whole."""
        if not isinstance(value, dict):
            raise _wrong_type(where, "object")
        prefix = f"{where}." if where else ""
        for field in self.fields:
            if field.name in value:
                field.kind.check(value[field.name], prefix + field.name)
            elif not field.optional:
                raise QmpError(f"Parameter '{prefix}{field.name}' is missing")
        known = [field.name for field in self.fields]
        for name in value:
            if name not in known:
                allowed = ", ".join(known) or "none"
                raise QmpError(
                    f"Parameter '{prefix}{name[:_SHOWN]}' is unexpected; possible: {allowed}"
                )


# --- taking out what was checked --------------------------------------------------------------------


def text(arguments: dict[str, Json], name: str) -> str:
    """An argument that was checked as `Text` or `Choice`."""
    value = arguments[name]
    assert isinstance(value, str), "checked before"
    return value


def flag(arguments: dict[str, Json], name: str, *, default: bool = False) -> bool:
    """An argument that was checked as `Flag`, or `default`."""
    value = arguments.get(name, default)
    assert isinstance(value, bool), "checked before"
    return value


def structs(arguments: dict[str, Json], name: str) -> list[dict[str, Json]]:
    """An argument that was checked as a list of `Struct`."""
    value = arguments[name]
    assert isinstance(value, list), "checked before"
    return [item for item in value if isinstance(item, dict)]
