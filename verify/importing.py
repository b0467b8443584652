"""Imports a module that the user named; what goes wrong with it is one `UsageError` that says what to do."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from verify.abc import UsageError

if TYPE_CHECKING:
    from types import ModuleType


def imported(name: str, subject: str = "") -> ModuleType:
    """Return module `name`; raise `UsageError`, which begins with `subject` if there is one, where it cannot be."""
    about = f"{subject}: " if subject else ""
    try:
        return importlib.import_module(name)
    except (ImportError, SyntaxError) as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(
                f"{about}no module {name!r} on the path; run from the directory that contains it, or install it"
            ) from None
        remedy = "correct it first" if isinstance(error, SyntaxError) else "install what it needs"
        raise UsageError(f"{about}module {name!r} cannot be imported: {error}; {remedy}") from None
