"""selectors.DefaultSelector over modelled sockets: one gate that is open while any watched gate is."""

from __future__ import annotations

import selectors
from typing import TYPE_CHECKING, NamedTuple, Self

from verify import _real
from verify.primitives.patches import me_of
from verify.primitives.sockets import Network, Socket
from verify.runtime import current
from verify.runtime.gate import AnyGate
from verify.runtime.naming import Named

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from verify.runtime.execution import Execution
    from verify.runtime.gate import Gate


class Key(NamedTuple):
    """As `selectors.SelectorKey`: what is watched, its descriptor, for which events, with which data."""

    fileobj: Socket
    fd: int
    events: int
    data: object


class Selector(Named):
    """Stands in for `selectors.DefaultSelector` and its siblings."""

    __slots__ = ("gate", "keys")

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

    def register(self, fileobj: object, events: int, data: object = None) -> Key:
        """Watch a modelled socket."""
        made = _socket_of(fileobj)
        if made in self.keys:
            raise KeyError(f"{fileobj!r} is already registered")
        if not events or events & ~(selectors.EVENT_READ | selectors.EVENT_WRITE):
            raise ValueError(f"Invalid events: {events!r}")
        key = Key(made, made.fileno(), events, data)
        self.keys[made] = key
        for gate in _gates(made, events):
            self.gate.watch(gate)
        return key

    def unregister(self, fileobj: object) -> Key:
        """Stop watching."""
        made = _socket_of(fileobj)
        try:
            key = self.keys.pop(made)
        except KeyError:
            raise KeyError(f"{fileobj!r} is not registered") from None
        for gate in _gates(made, key.events):
            self.gate.unwatch(gate)
        return key

    def modify(self, fileobj: object, events: int, data: object = None) -> Key:
        """Change what is watched."""
        self.unregister(fileobj)
        return self.register(fileobj, events, data)

    def select(self, timeout: float | None = None) -> list[tuple[Key, int]]:
        """Wait until a watched socket is ready; return those that are, in the order of registration."""
        execution = _execution()
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
            if key.events & selectors.EVENT_READ and _readable(made).open:
                mask |= selectors.EVENT_READ
            if key.events & selectors.EVENT_WRITE and made.tx is not None and made.tx.writable.open:
                mask |= selectors.EVENT_WRITE
            if mask:
                ready.append((key, mask))
        return ready

    def get_map(self) -> Mapping[Socket, Key]:
        """Return what is watched."""
        return self.keys

    def get_key(self, fileobj: object) -> Key:
        """Return the key of a watched socket; KeyError if it is not watched."""
        for made, key in self.keys.items():
            if fileobj is made or fileobj == key.fd:
                return key
        raise KeyError(f"{fileobj!r} is not registered")

    def close(self) -> None:
        """Watch nothing any more."""
        for made in list(self.keys):
            self.unregister(made)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _execution() -> Execution:
    execution = current.execution
    if execution is None:
        raise RuntimeError("this selector belongs to a check that has ended")
    return execution


def _socket_of(fileobj: object) -> Socket:
    if isinstance(fileobj, Socket):
        return fileobj
    if isinstance(fileobj, int):  # what asyncio hands over
        made = Network.of(_execution()).by_number.get(fileobj)
        if made is not None:
            return made
    raise ValueError(
        f"{fileobj!r} is not a socket made inside the check, so waiting for it cannot be controlled"
    )


def _readable(made: Socket) -> Gate:
    return made.acceptable if made.rx is None else made.rx.readable


def _gates(made: Socket, events: int) -> list[Gate]:
    gates = []
    if events & selectors.EVENT_READ:
        gates.append(_readable(made))
    if events & selectors.EVENT_WRITE and made.tx is not None:
        gates.append(made.tx.writable)
    return gates
