"""How a model takes the place of a method: for controlled callers only, and with nothing left behind.

Promises: a patched method asks first whether the caller is controlled; every other thread of the
process gets the original. A patch is a row (owner, attribute, replacement); `verify.patching` puts
rows in place and takes them out. Patching methods where they are defined, instead of replacing
classes, keeps subclasses, early imports and objects that exist already under control.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self, TypeVar

from verify.runtime import current
from verify.runtime.naming import Named

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.runtime.execution import Execution
    from verify.runtime.task import Task

    Model = Callable[..., object]  # type: ignore[explicit-any] # any signature

S = TypeVar("S", bound="State")


class Patch(NamedTuple):
    """Replace attribute `name` of `owner` by `value` for the length of a check."""

    owner: object
    name: str
    value: object


class State(Named):
    """What a model keeps beside an object of a real class: gates and waiters of one execution."""

    __slots__ = ()

    KEY = "_stage3_state"

    @classmethod
    def of(cls, execution: Execution, subject: object) -> Self:
        """Return the state of `subject` in this execution, made on first use."""
        attributes = vars(subject)
        state = attributes.get(cls.KEY)
        if state is None or state.execution is not execution:
            state = cls.__new__(cls)
            state.adopt(execution)
            state.begin(execution, subject)
            attributes[cls.KEY] = state
        return state

    def begin(self, execution: Execution, subject: object) -> None:
        """Take over what `subject` was before this execution used it."""


def method(owner: type, name: str, model: Model, rows: list[Patch]) -> None:
    """Add a row: `model(execution, task, self, ...)` for controlled callers, the original for the rest."""
    original = getattr(owner, name)

    def patched(self: object, *args: object, **kwargs: object) -> object:
        execution = current.controlled()
        if execution is None or execution.current is None:
            return original(self, *args, **kwargs)
        return model(execution, execution.current, self, *args, **kwargs)

    patched.__name__ = name
    patched.__qualname__ = f"{owner.__qualname__}.{name}"
    patched.__doc__ = original.__doc__
    rows.append(Patch(owner, name, patched))


def function(owner: object, name: str, model: Model, rows: list[Patch]) -> None:
    """Add a row: `model(execution, task, ...)` for controlled callers of a function, the original for the rest."""
    original = getattr(owner, name)

    def patched(*args: object, **kwargs: object) -> object:
        execution = current.controlled()
        if execution is None or execution.current is None:
            return original(*args, **kwargs)
        return model(execution, execution.current, *args, **kwargs)

    patched.__name__ = name
    patched.__module__ = getattr(original, "__module__", None) or __name__
    patched.__doc__ = original.__doc__
    rows.append(Patch(owner, name, patched))


def me_of(execution: Execution) -> Task:
    """Return the running task of an execution under way."""
    task = execution.current
    if task is None:
        raise AssertionError("internal error in stage3: no task is running")
    return task
