"""What the program's state is, as far as it can be seen: to tell a circle from progress.

Promises: no code of the program runs. Of every task that has not ended, each frame of the program under test: where it
stands, its local variables, those it shares with inner functions, and the globals its code names; followed into
containers, instances, iterators over them, and buffers, up to `MOST_OBJECTS` for each; and how long it still waits,
where its wait ends by itself. Objects are told by kind and
contents, not by address: a round that makes its objects anew is the same round. A lock is its name and holder.

Not seen: what an extension type holds, iterators that only the stack of a running frame refers to, files, and
what no frame refers to.
"""

from __future__ import annotations

from collections import deque
from math import isclose
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING

from verify.runtime.naming import Holdable, Named
from verify.runtime.task import Task
from verify.sites import frames

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from verify.runtime.execution import Execution

    State = dict[str, float]

MOST_OBJECTS = 5_000
MOST_BYTES = 1 << 24
_PLAIN = frozenset({type(None), bool, int, float, complex, str})
_BUFFERS = frozenset({"builtins", "array", "mmap", "numpy"})
_APART = (BuiltinFunctionType, CodeType, FunctionType, ModuleType, type)
_ITERATORS = frozenset(
    map(type, (
        iter(()), iter([]), iter(range(1)), iter(range(1 << 70)), iter(""), iter(b""), iter({}), iter(set()),
        enumerate(()), zip(), reversed([]),
    ))
)  # fmt: skip
KEY = "_stage3_state"


def state_of(execution: Execution) -> State:
    """Return a number for each variable that can be seen, by `task function.variable`, and the seconds of each wait."""
    state: State = {}
    for task in execution.tasks:
        if not task.done:
            if task.deadline is not None:
                state[f"the time until {task.title} goes on at 0"] = task.deadline - execution.now
            for depth, frame in enumerate(frames(execution.frame_of(task))):
                code = frame.f_code
                place = f"{task.title} {code.co_name}"
                # `f_lasti` of a frame that calls does not move until the call returns.
                state[f"{place} at {depth}"] = hash((code.co_qualname, frame.f_lasti))
                for name, value in _variables(frame):
                    state[f"{place}.{name} at {depth}"] = hash(tuple(Walk().of(value)))
    return state


def changed(one: State, other: State) -> tuple[str, ...]:
    """Return the variables that differ, without their depth in the stack; times differ by more than rounding."""
    names = {
        name.partition(" at ")[0]
        for name in one.keys() | other.keys()
        if name not in one or name not in other or not _same(one[name], other[name])
    }
    return tuple(sorted(names))


def _same(one: float, other: float) -> bool:
    if isinstance(one, int):
        return one == other
    return isclose(one, other, rel_tol=1e-9, abs_tol=1e-7)


def _variables(frame: FrameType) -> Iterator[tuple[str, object]]:
    yield from tuple(frame.f_locals.items())
    code = frame.f_code
    if frame.f_locals is not frame.f_globals:
        for name in code.co_names:
            value = frame.f_globals.get(name)
            if value is not None and not issubclass(type(value), _APART):
                yield f"global {name}", value


class Walk:
    """Follows one value; an object met again is the number of its first visit."""

    def __init__(self) -> None:
        self.visits: dict[int, int] = {}
        self.keep: list[object] = []

    def of(self, value: object) -> Iterator[object]:
        """Yield what tells the value from another: all hashable."""
        todo: list[object] = [value]
        while todo:
            thing = todo.pop()
            kind = type(thing)
            if kind in _PLAIN:
                yield kind.__name__
                yield thing
                continue
            visit = self.visits.get(id(thing))
            if visit is not None or len(self.visits) >= MOST_OBJECTS:
                yield visit
                continue
            self.visits[id(thing)] = len(self.visits)
            self.keep.append(thing)
            yield kind.__qualname__
            yield from self._own(thing)
            todo.extend(parts(thing))

    def _own(self, thing: object) -> Iterator[object]:
        """Yield what is no object of its own."""
        kind = type(thing)
        if isinstance(thing, Named):
            yield thing.name
            holder = thing.holder if isinstance(thing, Holdable) else None
            yield holder.path if holder is not None else None
        elif isinstance(thing, Task):
            yield thing.path
        elif issubclass(kind, FunctionType | CodeType):
            yield type.__getattribute__(kind, "__name__")
            yield thing.__qualname__ if kind is FunctionType else None  # type: ignore[attr-defined] # a function
        elif kind.__module__ in _BUFFERS:
            yield _buffer(thing)


def _buffer(thing: object) -> int | None:
    try:
        with memoryview(thing) as view:  # type: ignore[arg-type] # whether it is one is what is asked
            return hash(view.tobytes()) if view.nbytes <= MOST_BYTES else None
    except (TypeError, ValueError, BufferError, NotImplementedError):
        return None


def parts(thing: object) -> list[object]:  # noqa: PLR0911 - a table of kinds
    """Return what an object refers to, in an order that is the same for the same contents."""
    kind = type(thing)
    if issubclass(kind, Named | Task | ModuleType | type):
        return []
    if issubclass(kind, dict):
        items: dict[object, object] = thing  # type: ignore[assignment] # just asked
        return [part for pair in dict.items(items) for part in pair] + attributes(thing)
    if issubclass(kind, list | tuple | deque):
        base = next(one for one in (list, tuple, deque) if issubclass(kind, one))
        return [*base.__iter__(thing), *attributes(thing)]  # type: ignore[arg-type] # just asked
    if issubclass(kind, set | frozenset):
        base_set = set if issubclass(kind, set) else frozenset
        return sorted(base_set.__iter__(thing), key=_rank)  # type: ignore[arg-type] # just asked
    if kind in _ITERATORS:
        return [*thing.__reduce__()[1:]]  # what an iterator of Python's own pickles
    if kind is MethodType:
        return [thing.__func__, thing.__self__]  # type: ignore[attr-defined] # a method
    if kind is CellType:
        return _contents(thing)
    if kind is FunctionType:
        return [part for cell in thing.__closure__ or () for part in _contents(cell)]  # type: ignore[attr-defined] # one
    return attributes(thing)


def _rank(thing: object) -> str:
    # The members of a set are told by value where that takes no code of the program, else by kind.
    return f"{thing!r}" if type(thing) in _PLAIN else type(thing).__qualname__


def _contents(cell: object) -> list[object]:
    try:
        return [cell.cell_contents]  # type: ignore[attr-defined] # a cell
    except ValueError:
        return []


def attributes(thing: object) -> list[object]:
    """Return the attributes of an instance, without asking its own code."""
    kind = type(thing)
    if str(kind.__module__).startswith(("verify.", "traces.")):
        return []
    try:
        named = object.__getattribute__(thing, "__dict__")
    except AttributeError:
        named = {}
    found: list[object] = []
    if isinstance(named, dict):
        found += [part for key, value in named.items() if key != KEY for part in (key, value)]
    for base in kind.__mro__:
        for slot in base.__dict__.values():
            if type(slot).__name__ == "member_descriptor":
                try:
                    found.append(slot.__get__(thing))
                except AttributeError:
                    found.append(None)
    return found
