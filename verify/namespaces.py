"""Where references to locks and functions lie that exist already: modules, and the attributes of plain objects.

Promises: what belongs to the toolkit, to what runs it, and to the interpreter itself is passed over.
Does not: reach C objects, tuples, closures or slots.
"""

from __future__ import annotations

import gc
import sys
import threading
from types import FunctionType
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from collections.abc import Iterator

OWN = frozenset(
    {
        "verify", "traces", "greenlet", "bytecode", "threading", "_thread", "importlib", "_frozen_importlib",
        "_frozen_importlib_external", "_pytest", "pytest", "pluggy", "pytest_timeout", "xdist", "execnet", "coverage",
        "faulthandler", "multiprocessing", "hypothesis", "weakref", "tempfile", "rich",
    }
)  # fmt: skip
"""Top packages whose locks stay real: the toolkit, what runs it, and what the interpreter itself relies on."""

HEAP_TYPE = 1 << 9  # Py_TPFLAGS_HEAPTYPE: classes made by Python code


def namespaces(
    *,
    own: bool = False,
    kinds: list[type] | None = None,
    functions: list[FunctionType] | None = None,
) -> Iterator[tuple[dict[str, object], object]]:
    """Yield the namespaces of modules and of plain Python objects, with who owns them; `own`: those of `OWN` too.

    To `kinds` the classes are added that are met on the way, to `functions` the functions: one walk over all objects,
    whose time goes into reaching each of them, does for all.
    """
    modules = list(sys.modules.items())
    for name, module in modules:
        if (own or name.partition(".")[0] not in OWN) and type(module) is type(sys):
            yield vars(module), module
    for thing in gc.get_objects():
        kind = type(thing)
        if kind is FunctionType:
            if functions is not None:
                functions.append(thing)
        elif kinds is not None and _is_class(thing):
            kinds.append(thing)
        if kind.__flags__ & HEAP_TYPE and (own or not is_own(kind)):
            try:
                names = object.__getattribute__(thing, "__dict__")
            except AttributeError:
                continue
            if type(names) is dict:
                yield names, thing


def classes() -> Iterator[type]:
    """Yield the classes made by Python code: down the tree of all classes, which is a hundredth of all objects."""
    seen: set[int] = set()  # a metaclass may forbid hashing
    waiting: list[type] = [object]
    while waiting:
        below: list[type] = type.__subclasses__(waiting.pop())
        for kind in below:
            if id(kind) not in seen:
                seen.add(id(kind))
                waiting.append(kind)
                if _is_class(kind):
                    yield kind


def _is_class(thing: object) -> TypeGuard[type]:
    if not issubclass(type(thing), type):  # a dead weak proxy cannot be asked for its class
        return False
    return isinstance(thing, type) and bool(thing.__flags__ & HEAP_TYPE) and not is_own(thing)


def is_own(kind: type) -> bool:
    """Say whether objects of a class are passed over; a Condition never is: it carries a program's lock."""
    if kind is threading.Condition:
        return False
    return str(kind.__module__).partition(".")[0] in OWN
