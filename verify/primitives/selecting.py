"""selectors.DefaultSelector over modelled sockets: one gate that is open while any watched gate is."""

from __future__ import annotations

import select
import selectors
from typing import TYPE_CHECKING, NamedTuple, Self

from verify import _real
from verify.abc import NUMBERS
from verify.primitives.patches import Patch, function, me_of
from verify.primitives.sockets import Network, Socket
from verify.runtime import current
from verify.runtime.gate import AnyGate
from verify.runtime.naming import Named
from verify.runtime.outside import uncontrolled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from verify.runtime.execution import Execution
    from verify.runtime.gate import Gate
    from verify.runtime.task import Task


class Key(NamedTuple):
    """As `selectors.SelectorKey`: what is watched, as it was given, its descriptor, the events, the data."""

    fileobj: object
    fd: int
    events: int
    data: object


class Selector(Named):
    """Stands in for `selectors.DefaultSelector` and its siblings."""

    __slots__ = ("gate", "keys", "real")

    KIND = "Selector"

    def __new__(cls) -> Self:
        """Make a model for a controlled caller, a real selector for any other thread."""
        running = current.controlled()
        if running is None:
            return _real.DefaultSelector()  # type: ignore[return-value]
        self = object.__new__(cls)
        self.begin(running)
        return self

    def begin(self, execution: Execution) -> None:
        """Watch nothing yet."""
        self.adopt(execution)
        self.keys: dict[Socket, Key] = {}
        self.gate = AnyGate(execution, self)
        self.real: selectors.BaseSelector | None = None

    def register(self, fileobj: object, events: int, data: object = None) -> Key:
        """Watch a modelled socket."""
        if self.real is not None or (not self.keys and is_foreign(fileobj)):
            return self._pass_through().register(fileobj, events, data)  # type: ignore[return-value, arg-type]
        made = socket_of(fileobj)
        if made in self.keys:
            raise KeyError(f"{fileobj!r} is already registered")
        if not events or events & ~(selectors.EVENT_READ | selectors.EVENT_WRITE):
            raise ValueError(f"Invalid events: {events!r}")
        self.execution.unseen += NUMBERS
        key = Key(fileobj, made.fileno(), events, data)
        self.keys[made] = key
        for gate in _gates(made, events):
            self.gate.watch(gate)
        return key

    def unregister(self, fileobj: object) -> Key:
        """Stop watching."""
        if self.real is not None:
            return self.real.unregister(fileobj)  # type: ignore[return-value, arg-type]
        made = self._watched(fileobj)
        self.execution.unseen += NUMBERS
        key = self.keys.pop(made)
        for gate in _gates(made, key.events):
            self.gate.unwatch(gate)
        return key

    def modify(self, fileobj: object, events: int, data: object = None) -> Key:
        """Change what is watched."""
        self.unregister(fileobj)
        return self.register(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[Key, int]]:
        """Wait until a watched socket is ready; return those that are, in the order of registration."""
        if self.real is not None:
            return self.real.select(timeout)  # type: ignore[return-value]
        execution = running_execution()
        me = me_of(execution)
        if timeout is not None and timeout <= 0:
            execution.point(me, "Selector.select", self)
            if not self.gate.open:
                me.yields += 1
        else:
            execution.pass_gate(me, "Selector.select", self, self.gate, timeout)
        ready = []
        for made, key in self.keys.items():
            mask = 0
            if key.events & selectors.EVENT_READ and readable(made).open:
                mask |= selectors.EVENT_READ
            if key.events & selectors.EVENT_WRITE and made.tx is not None and made.tx.writable.open:
                mask |= selectors.EVENT_WRITE
            if mask:
                ready.append((key, mask))
        return ready

    def get_map(self) -> Mapping[Socket, Key]:
        """Return what is watched."""
        return self.keys if self.real is None else self.real.get_map()  # type: ignore[return-value]

    def get_key(self, fileobj: object) -> Key:
        """Return the key of a watched socket; KeyError if it is not watched."""
        if self.real is not None:
            return self.real.get_key(fileobj)  # type: ignore[return-value, arg-type]
        return self.keys[self._watched(fileobj)]

    def close(self) -> None:
        """Watch nothing any more."""
        if self.real is not None:
            self.real.close()
        for made in list(self.keys):
            self.unregister(made)

    def _watched(self, fileobj: object) -> Socket:
        made = modelled(fileobj)
        if made in self.keys:
            return made
        for made, key in self.keys.items():  # what is closed has no descriptor any more
            if fileobj is key.fileobj:
                return made
        raise KeyError(f"{fileobj!r} is not registered")

    def _pass_through(self) -> selectors.BaseSelector:
        """Become a real selector: what it waits for (a pipe, a subprocess) is not the check's."""
        if self.real is None:
            self.real = _real.DefaultSelector()
            uncontrolled(running_execution(), "selectors.select on files")
        return self.real

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def running_execution() -> Execution:
    """Return the execution under way; raises `RuntimeError` after its end."""
    execution = current.execution
    if execution is None:
        raise RuntimeError("this selector belongs to a check that has ended")
    return execution


def modelled(fileobj: object) -> Socket | None:
    """Return the modelled socket that this is, or whose descriptor it is or names (a server); None if there is none."""
    if isinstance(fileobj, Socket):
        return fileobj
    number: object = fileobj
    if not isinstance(fileobj, int):  # an int is what asyncio hands over
        ask = getattr(fileobj, "fileno", None)
        try:
            number = ask() if callable(ask) else None
        except (OSError, ValueError):  # a closed file, one without a descriptor
            return None
    if not isinstance(number, int):
        return None
    return Network.of(running_execution()).by_number.get(number)


def socket_of(fileobj: object) -> Socket:
    """Return the modelled socket behind an object or descriptor; raises `ValueError` if there is none."""
    made = modelled(fileobj)
    if made is None:
        raise ValueError(
            f"{fileobj!r} is not a socket made inside the check, so waiting for it cannot be controlled"
        )
    return made


def is_foreign(fileobj: object) -> bool:
    """Say whether this is something real: an open file or its descriptor."""
    return (isinstance(fileobj, int) or hasattr(fileobj, "fileno")) and modelled(fileobj) is None


def _select(  # noqa: PLR0917 - as select.select
    execution: Execution,
    me: Task,
    rlist: Sequence[object],
    wlist: Sequence[object],
    xlist: Sequence[object],
    timeout: float | None = None,
) -> tuple[list[object], list[object], list[object]]:
    del me
    if all(is_foreign(each) for each in (*rlist, *wlist, *xlist)) and (rlist or wlist or xlist):
        uncontrolled(execution, "select.select on files")
        return _real.select(rlist, wlist, xlist, timeout)  # type: ignore[type-var] # files, as they were given
    reading = [(each, socket_of(each)) for each in rlist]
    writing = [(each, socket_of(each)) for each in wlist]
    wanted: dict[Socket, int] = {}
    for several, event in ((reading, selectors.EVENT_READ), (writing, selectors.EVENT_WRITE)):
        for _, made in several:
            wanted[made] = wanted.get(made, 0) | event
    with Selector() as selector:
        for made, events in wanted.items():
            selector.register(made, events)
        ready = {key.fileobj: mask for key, mask in selector.select(timeout)}
    return (
        [each for each, made in reading if ready.get(made, 0) & selectors.EVENT_READ],
        [each for each, made in writing if ready.get(made, 0) & selectors.EVENT_WRITE],
        [],
    )


def rows() -> list[Patch]:
    """Return the patch for `select.select`."""
    out: list[Patch] = []
    function(select, "select", _select, out)
    return out


def readable(made: Socket) -> Gate:
    """Return the gate that is open when there is something to read or to accept."""
    return made.acceptable if made.rx is None else made.rx.readable


def _gates(made: Socket, events: int) -> list[Gate]:
    gates = []
    if events & selectors.EVENT_READ:
        gates.append(readable(made))
    if events & selectors.EVENT_WRITE and made.tx is not None:
        gates.append(made.tx.writable)
    return gates
