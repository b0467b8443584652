"""Finalizers: `__del__`, the callbacks of weak references, and what a collection calls, each run undisturbed.

Promises: classes with a `__del__` of their own, made before or during the check, weak references and proxies made
during it, `weakref.finalize`, and `gc.collect()` with everything that it calls. Called by the program itself,
`weakref.finalize` objects are ordinary calls.
Does not: reach references made before the check, a `__del__` assigned to a class after it was made, classes made by
calling `type`, and generators, whose `finally` runs where the last reference goes, as ordinary operations.
"""

from __future__ import annotations

import builtins
import gc
import weakref
from types import FunctionType
from typing import TYPE_CHECKING, TypeVar

from verify.namespaces import classes
from verify.primitives.patches import Patch
from verify.runtime import current
from verify.runtime.finalizing import undisturbed

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.primitives.patches import Model

T = TypeVar("T")
DEL = "__del__"

_ref = weakref.ref
_proxy = weakref.proxy
_build_class: Model = vars(builtins)["__build_class__"]
_wrapped: list[tuple[weakref.ref[type], object, object]] = []


class _RefType(type):
    """Makes real references count as instances of what stands in for their type."""

    def __instancecheck__(cls, thing: object) -> bool:
        return isinstance(thing, _ref) if cls is Ref else type.__instancecheck__(cls, thing)

    def __subclasscheck__(cls, kind: type) -> bool:
        return issubclass(kind, _ref) if cls is Ref else type.__subclasscheck__(cls, kind)


class Ref(weakref.ref[T], metaclass=_RefType):
    """Stands in for `weakref.ref`: makes real references whose callback runs undisturbed."""

    __slots__ = ()

    def __new__(  # type: ignore[misc] # the type that a program asks for is a real one
        cls, thing: T, callback: Callable[[weakref.ref[T]], object] | None = None, /
    ) -> weakref.ref[T]:
        """Make a reference of the type asked for: the real one, or a subclass."""
        if callback is not None and current.controlled() is not None:
            callback = undisturbed(callback)
        kind = _ref if cls is Ref else cls
        return _ref.__new__(kind, thing, callback)


def proxy(thing: object, callback: Callable[[object], object] | None = None, /) -> object:
    """Stand in for `weakref.proxy`."""
    if callback is not None and current.controlled() is not None:
        callback = undisturbed(callback)
    return _proxy(thing, callback)


def build_class(*args: object, **kwargs: object) -> object:
    """Stand in for what a `class` statement calls."""
    made = _build_class(*args, **kwargs)
    if isinstance(made, type) and current.controlled() is not None:
        _wrap(made)
    return made


def _wrap(kind: type) -> None:
    own = vars(kind).get(DEL)
    if isinstance(own, FunctionType):
        wrapper = undisturbed(own)
        type.__setattr__(kind, DEL, wrapper)
        _wrapped.append((_ref(kind), own, wrapper))


def wrap_classes() -> None:
    """Let the finalizers of the classes that are there run undisturbed, until `restore_classes`."""
    for kind in [*classes()]:
        _wrap(kind)


def restore_classes() -> None:
    """Give every class its own finalizer back, unless the program gave it another one."""
    for reference, own, wrapper in _wrapped:
        kind = reference()
        if kind is not None and vars(kind).get(DEL) is wrapper:
            type.__setattr__(kind, DEL, own)
    _wrapped.clear()


def rows() -> list[Patch]:
    """Return the patches for weak references, class statements and the collector."""
    return [
        Patch(weakref, "ref", Ref),
        Patch(weakref, "proxy", proxy),
        Patch(builtins, "__build_class__", build_class),
        Patch(gc, "collect", undisturbed(gc.collect)),
    ]
