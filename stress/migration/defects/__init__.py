"""The museum: the history of migration bugs, each a defect that can be seeded into the engine.

Promises: one module a defect, named by its first id; `load` brings them all, in the order of the catalogue. Nothing is
seeded by importing anything here.
"""

from __future__ import annotations

import pkgutil
import re
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

from stress.migration.defects.frame import Defect, seeded

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Defect", "find", "load", "seeded"]

_MODULE: Final = re.compile(r"[a-z]\d\d_\w+")


@cache
def load() -> Mapping[str, Defect]:
    """All defects by their first id, in the order of the catalogue."""
    names = sorted(
        each.name for each in pkgutil.iter_modules(__path__) if _MODULE.fullmatch(each.name)
    )
    found: list[object] = [import_module(f"{__name__}.{name}").DEFECT for name in names]
    return {each.ids[0]: each for each in found if isinstance(each, Defect)}


def find(name: str) -> Defect:
    """The defect that goes by this id, whatever its case; raises `KeyError` with those there are."""
    for defect in load().values():
        if name.upper() in defect.ids:
            return defect
    raise KeyError(f"no defect {name!r}; stage3 museum ls shows them: {', '.join(load())}")
