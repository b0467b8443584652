"""Imports a module that the user named, also one of the current directory, as `python -m` would.

Promises: what goes wrong with it is one `UsageError` that says what to do.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from verify.abc import UsageError
from verify.sites import short

if TYPE_CHECKING:
    from types import ModuleType

_OURS = frozenset({__file__, importlib.__file__})


def imported(name: str, subject: str = "") -> ModuleType:
    """Return module `name`; raise `UsageError`, which begins with `subject` if there is one, where it cannot be."""
    about = f"{subject}: " if subject else ""
    here = str(Path.cwd())
    if "" not in sys.path and here not in sys.path:
        sys.path.insert(0, here)
    try:
        return importlib.import_module(name)
    except (ImportError, SyntaxError) as error:
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise UsageError(
                f"{about}no module {name!r} on the path; run from the directory that contains it, or install it"
            ) from None
        remedy = "correct it first" if isinstance(error, SyntaxError) else "install what it needs"
        raise UsageError(f"{about}module {name!r} cannot be imported: {error}; {remedy}") from None
    except SystemExit as error:
        raise UsageError(
            f"{about}module {name!r} cannot be imported: it ends the process (exit {error.code}); "
            'put that behind if __name__ == "__main__"'
        ) from None
    except Exception as error:  # noqa: BLE001 - whatever a module does while it is imported
        raise UsageError(
            f"{about}module {name!r} cannot be imported: {_place(error)} raises {type(error).__name__}: "
            f"{error}; correct it first, or do that in the function under test"
        ) from None


def _place(error: Exception) -> str:
    """Return the line of the user's that raised."""
    entries = traceback.extract_tb(error.__traceback__)
    own = [
        entry
        for entry in entries
        if not entry.filename.startswith("<") and entry.filename not in _OURS
    ]
    last = own[-1] if own else entries[-1]
    return f"{short(last.filename)}:{last.lineno}"
