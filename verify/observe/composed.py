"""What is built of locks (queues, events, semaphores, barriers, futures, conditions), with recording around it.

Promises: CPython's own methods run, unchanged; around them one operation is recorded, named after the method. While it
is under way, the operations of the object's inner lock are no entries of their own, and a wait of its inner condition
is a wait of the object. The entry gets the number that was drawn when the inner lock was last given back, so entries of
one object stand in their true order.

A method is patched where it is defined, so subclasses, early imports and objects that exist already are covered. An
object gets a number when it is made, or when it is first used. `Seen` lies in its `__dict__`; `install` takes it out.

The value of an object (permits, length) is read without its lock: a thread that is suspended between reading and
writing can leave an older one until the next operation.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from time import monotonic_ns
from typing import TYPE_CHECKING, NamedTuple

from verify.observe import layout
from verify.observe.layout import KIND, NONE, OP
from verify.observe.locks import LOCK_TYPE, RLOCK_TYPE
from verify.observe.recorder import Me, enter, local, object_at, recorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    Method = Callable[..., object]  # type: ignore[explicit-any] # any signature

KEY = "_stage3_seen"

_getframe = sys._getframe  # noqa: SLF001 - who calls is what is recorded


class Patch(NamedTuple):
    """Put `value` in place of attribute `name` of `owner`."""

    owner: object
    name: str
    value: object


class Seen:
    """What the recorder knows of one object: its number, its place in the table, its inner lock."""

    __slots__ = ("inner", "number", "offset", "place")

    def __init__(self, number: int, place: int, inner: object) -> None:
        self.number = number
        self.place = place
        self.inner = inner
        self.offset = object_at(place)

    def value(self, value: int) -> None:
        """Write the object's value."""
        recorder.words[self.offset + layout.OBJECT_VALUE_AT >> 3] = value

    def limit(self, limit: int) -> None:
        """Write the bound of the value."""
        recorder.words[self.offset + layout.OBJECT_LIMIT_AT >> 3] = limit

    def notified(self, me: Me, waiters: int, stack: int) -> None:
        """Write a notification."""
        layout.NOTIFY.pack_into(
            recorder.buffer,
            self.offset + layout.OBJECT_NOTIFY_AT,
            monotonic_ns(),
            me.slot,
            waiters,
            stack,
        )

    def __del__(self) -> None:
        try:  # noqa: SIM105 - by the end of the interpreter only builtins are left
            recorder.forget(self.place)
        except (AttributeError, TypeError):
            pass  # an interpreter that is half gone


class Sort(NamedTuple):
    """How objects of one class are looked at: kind, inner lock, value, limit (functions of the object's `__dict__`)."""

    kind: int
    inner: Callable[[dict[str, object]], object]
    value: Callable[[dict[str, object]], int]
    limit: Callable[[dict[str, object]], int]


def _lock_of(attributes: dict[str, object], name: str = "_cond") -> object:
    condition = attributes.get(name)
    return vars(condition).get("_lock") if condition is not None else None


def _number(name: str) -> Callable[[dict[str, object]], int]:
    def look(attributes: dict[str, object]) -> int:
        value = attributes.get(name)
        return int(value) if isinstance(value, int) and 0 <= value < NONE else NONE

    return look


def _length(attributes: dict[str, object]) -> int:
    items = attributes.get("queue")
    return len(items) if hasattr(items, "__len__") else NONE


def _maxsize(attributes: dict[str, object]) -> int:
    return _number("maxsize")(attributes) or NONE


def _nothing(_attributes: dict[str, object]) -> int:
    return NONE


def _is_done(attributes: dict[str, object]) -> int:
    return int(attributes.get("_state") in {"FINISHED", "CANCELLED", "CANCELLED_AND_NOTIFIED"})


EVENT = Sort(KIND["Event"], _lock_of, _number("_flag"), _nothing)
SEMAPHORE = Sort(KIND["Semaphore"], _lock_of, _number("_value"), _number("_initial_value"))
BARRIER = Sort(KIND["Barrier"], _lock_of, _number("_count"), _number("_parties"))
QUEUE = Sort(KIND["Queue"], lambda attributes: attributes.get("mutex"), _length, _maxsize)
FUTURE = Sort(
    KIND["Future"], lambda attributes: _lock_of(attributes, "_condition"), _is_done, _nothing
)
CONDITION = Sort(KIND["Condition"], lambda attributes: attributes.get("_lock"), _nothing, _nothing)


def seen(subject: object, sort: Sort, frame: FrameType, *, early: bool = False) -> Seen | None:
    """Return what is known of `subject`, which gets a number now if it has none; None: it is not recorded.

    `early`: it was not made by `frame`, but before the recording.
    """
    attributes = vars(subject)
    try:
        known: Seen | None = attributes[KEY]
    except KeyError:
        inner = sort.inner(attributes)
        if type(inner) in {LOCK_TYPE, RLOCK_TYPE}:
            attributes[KEY] = None  # plumbing: a thread's started event
            return None
        lock: object = getattr(inner, "number", NONE)
        label = first_use(sort, frame) if early else ""
        number, place = recorder.register(
            sort.kind, frame, label=label, value=sort.value(attributes), limit=sort.limit(attributes),
            lock=lock if isinstance(lock, int) else NONE,
        )  # fmt: skip
        known = attributes[KEY] = Seen(number, place, inner)
    return known


def first_use(sort: Sort, frame: FrameType) -> str:
    """Return what an object is called that was made before the recording."""
    from verify.sites import frames, short  # noqa: PLC0415 - rarely needed

    for each in frames(frame):
        return f"{layout.KINDS[sort.kind]} first used at {short(each.f_code.co_filename)}:{each.f_lineno}"
    return layout.KINDS[sort.kind]


def made(owner: type, sort: Sort) -> Patch:
    """Return the patch that gives an object a number when it is made.

    Not the parts of the standard library's own objects: a thread's started event, the conditions inside a queue.
    """
    original: Method = vars(owner)["__init__"]

    def __init__(self: object, *args: object, **kwargs: object) -> None:  # noqa: N807 - its name in a stack
        original(self, *args, **kwargs)
        frame = _getframe(1)
        if frame.f_globals.get("__name__") not in _COMPOSERS or sort is not CONDITION:
            known = seen(self, sort, frame)
            if known is not None:
                # Only a worker of its pool can finish such a future; any other is anybody's to set.
                pooled = sort is FUTURE and frame.f_globals.get("__name__") == _POOL
                known.limit(1 if pooled else sort.limit(vars(self)))

    return Patch(owner, "__init__", dressed(__init__, original))


_POOL = "concurrent.futures.thread"
_COMPOSERS = frozenset({"threading", "queue", "concurrent.futures._base"})


def dressed(made_up: Method, original: Method) -> Method:
    """Give a function the names of the one it stands for."""
    for name in ("__name__", "__qualname__", "__doc__", "__module__"):
        with suppress(AttributeError):
            setattr(made_up, name, getattr(original, name))
    vars(made_up)["__wrapped__"] = original
    return made_up


class Function:
    """Stands in for a function of C: an object, so that it binds to no class it is an attribute of.

    Pickled and copied by its name, as the real one is.
    """

    def __init__(self, original: Method) -> None:
        self.original = original
        self.__name__ = str(getattr(original, "__name__", ""))
        self.__module__ = str(getattr(original, "__module__", ""))
        self.__doc__ = original.__doc__

    def __reduce__(self) -> str:
        return self.__name__

    def __repr__(self) -> str:
        return repr(self.original)


def operation(
    owner: type, name: str, sort: Sort, title: str, *, result: bool = False, quick: str = ""
) -> Patch:
    """Return the patch that records a method as one operation.

    `result`: what it returns is a truth value worth an entry. `quick` is the operation's name where the caller does
    not want to wait.
    """
    original: Method = vars(owner)[name]
    slow_code = OP[title]
    quick_code = OP[quick] if quick else slow_code

    def traced(self: object, *args: object, **kwargs: object) -> object:
        try:
            me: Me = local.me
        except AttributeError:
            me = enter()
        try:
            known: Seen | None = self.__dict__[KEY]
        except KeyError:
            known = seen(self, sort, _getframe(1), early=True)
        if known is None:
            return original(self, *args, **kwargs)
        if me.noise is not None:
            me.noise()
        code = slow_code
        if quick_code != code and not (args[0] if args else kwargs.get("blocking", True)):
            code = quick_code
        before = (me.inner, me.outer, me.seq)
        # A signal handler or a finalizer that runs in here has operations of its own: they are told apart by the lock.
        me.outer = (known, code)
        me.inner = known.inner
        me.seq = 0
        outcome = 1
        try:
            value = original(self, *args, **kwargs)
            outcome = 1 + bool(value) if result else 0
        finally:
            seq = me.seq
            me.inner, me.outer, me.seq = before
            known.value(sort.value(self.__dict__))
            if before[0] is not known.inner:
                me.log(code, known.number, recorder.site(_getframe(1)), outcome, seq)
        return value

    return Patch(owner, name, dressed(traced, original))
