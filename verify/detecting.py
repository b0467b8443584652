"""Detectors by name: those on request (`verify.detectors.ON_REQUEST`), and a user's own as `module:Class`.

Promises: a name that is none is one `UsageError` that lists what there is; nothing is imported before it is asked for.
A class is called without arguments, once a search.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import Detector, UsageError
from verify.detectors import ON_REQUEST
from verify.importing import imported

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

OPTION = "detect"
"""The option of a program that says which detectors it is watched by besides its own."""


def split(text: str) -> tuple[str, ...]:
    """Return the names in `race,atomicity`."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def check(names: Iterable[str]) -> None:
    """Raise `UsageError` unless every name is one."""
    for name in names:
        if name in ON_REQUEST:
            continue
        module, _, attribute = name.partition(":")
        if not (
            attribute.isidentifier() and all(part.isidentifier() for part in module.split("."))
        ):
            raise UsageError(
                f"no detector {name!r}; there are: {', '.join(ON_REQUEST)}; or name one of yours as module:Class"
            )


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names once each, in an order that does not depend on how they were given."""
    return tuple(sorted(set(names)))


def make(names: Sequence[str]) -> list[Detector]:
    """Return a fresh detector for each name."""
    check(names)
    return [ON_REQUEST[name]() if name in ON_REQUEST else _own(name) for name in names]


def _own(name: str) -> Detector:
    module_name, _, attribute = name.partition(":")
    kind: object = getattr(imported(module_name, f"detector {name!r}"), attribute, None)
    if not (isinstance(kind, type) and issubclass(kind, Detector)):
        raise UsageError(
            f"detector {name!r}: module {module_name!r} has no class {attribute!r} that descends from verify.Detector"
        )
    try:
        return kind()
    except TypeError as error:
        raise UsageError(f"detector {name!r}: {error}; let it be made without arguments") from None
