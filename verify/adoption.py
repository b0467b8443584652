"""Adopts locks that exist before a check starts: module globals, attributes, and those inside conditions.

Promises: for the length of a check a model stands wherever a module's global or an object's attribute
held a real lock; afterwards the real one stands there again. An adopted lock starts each execution as
the real one is, and whoever the check does not control gets the real one.
Assumes: nobody holds such a lock across the start or the end of a check.
Does not: reach locks inside C objects, tuples, closures or slots; nor the locks of the import system,
of `threading` itself, and of the toolkit. A task that blocks on one of those blocks the whole check.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, cast

from verify import _real
from verify.namespaces import namespaces
from verify.primitives.locks import AdoptedLock, AdoptedRLock
from verify.primitives.patches import Patch

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FunctionType

    from verify.primitives.locks import RLockLike

    Adopted = AdoptedLock | AdoptedRLock

LOCK_TYPE = type(_real.allocate_lock())
RLOCK_TYPE = type(_real.RLock())


def adopt(undo: list[Patch], functions: list[FunctionType] | None = None) -> None:
    """Put models in place of the locks found; append what undoes it, and to `functions` those met on the way."""
    known: dict[int, Adopted] = {}
    for names, owner in namespaces(functions=functions):
        for name, value in list(names.items()):
            if type(value) is LOCK_TYPE or type(value) is RLOCK_TYPE:
                model = known.get(id(value))
                if model is None:
                    model = known[id(value)] = _stand_in(value, f"{_title(owner)}.{name}")
                undo.append(Patch(owner, name, value))
                names[name] = model
    _mend_conditions(known, undo)


def _title(owner: object) -> str:
    return getattr(owner, "__name__", "?") if type(owner) is type(sys) else type(owner).__name__


def _stand_in(real: object, found: str) -> Adopted:
    if isinstance(real, LOCK_TYPE):
        return AdoptedLock.of(real, found)
    return AdoptedRLock.of(cast("RLockLike", real), found)


def _mend_conditions(known: dict[int, Adopted], undo: list[Patch]) -> None:
    """A condition keeps its lock's bound methods: let them be the model's."""
    done = [
        patch
        for patch in undo
        if type(patch.owner) is threading.Condition and patch.name == "_lock"
    ]
    for patch in done:
        names = vars(patch.owner)
        model = known[id(patch.value)]
        for name in ("acquire", "release"):
            undo.append(Patch(patch.owner, name, names[name]))
            names[name] = getattr(model, name)


def restore(undo: Iterable[Patch]) -> None:
    """Put the real locks back."""
    for patch in undo:
        # `vars` would ask the class, which may answer for another object (a proxy).
        names: dict[str, object] = object.__getattribute__(patch.owner, "__dict__")
        names[patch.name] = patch.value
