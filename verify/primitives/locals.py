"""threading.local keyed by task: greenlets of one OS thread would share the real one."""

from __future__ import annotations

from typing import Self

from verify import _real
from verify.runtime import current

_SLOT = "_stage3_local"


class Local:
    """Stands in for `threading.local`: attributes are the running task's own.

    A subclass's `__init__` runs again, with the same arguments, in each task that touches the
    object first.
    """

    __module__ = "_thread"

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        """Make a task-keyed object for a controlled caller, a real one for any other thread."""
        if cls is Local and (args or kwargs):
            raise TypeError("Initialization arguments are not supported")
        if current.controlled() is None and cls is Local:
            return _real.local()  # type: ignore[return-value]
        self = object.__new__(cls)
        object.__setattr__(self, _SLOT, ({}, args, kwargs))
        _namespace(self, first=True)
        return self

    def __getattribute__(self, name: str) -> object:
        if name.startswith("__") and name != "__dict__":
            return object.__getattribute__(self, name)
        values = _namespace(self)
        if name == "__dict__":
            return values
        if name in values:
            return values[name]
        return object.__getattribute__(self, name)

    def __setattr__(self, name: str, value: object) -> None:
        _namespace(self)[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del _namespace(self)[name]
        except KeyError:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}"
            ) from None


def _namespace(local: Local, *, first: bool = False) -> dict[str, object]:
    spaces, args, kwargs = object.__getattribute__(local, _SLOT)
    execution = current.execution
    key = execution.current if execution is not None else None
    space: dict[str, object] | None = spaces.get(key)
    if space is None:
        space = spaces[key] = {}
        if not first:
            type(local).__init__(local, *args, **kwargs)
    return space
