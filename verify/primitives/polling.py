"""select.poll and select.epoll over modelled sockets.

Promises: the events of a modelled socket are those that Linux reports for its state, POLLHUP, POLLERR and
POLLRDHUP among them; waiting is one operation with a virtual time-out. An object whose first descriptor
is a real one (a pipe, a file) becomes a real poll object, and the execution is noted as uncontrolled.
Does not do: edge triggering (EPOLLET is refused), one descriptor in both a model and a real object.
"""

from __future__ import annotations

import errno
import os
import select
from typing import TYPE_CHECKING, Protocol, Self

from verify import _real
from verify.abc import NUMBERS
from verify.primitives.patches import Patch, me_of
from verify.primitives.selecting import is_foreign, readable, running_execution, socket_of
from verify.runtime import current
from verify.runtime.gate import AnyGate
from verify.runtime.naming import Named
from verify.runtime.outside import uncontrolled

if TYPE_CHECKING:
    from types import TracebackType

    from verify.primitives.sockets import Socket
    from verify.runtime.execution import Execution
    from verify.runtime.gate import Gate

IN, OUT, ERR, HUP, RDHUP = 0x1, 0x4, 0x8, 0x10, 0x2000
ALWAYS = ERR | HUP
EDGE, ONE_SHOT = 1 << 31, 1 << 30


class RealPoll(Protocol):
    """What a real poll or epoll object does."""

    def register(self, fd: object, eventmask: int, /) -> None:
        """Watch a descriptor."""
        ...

    def modify(self, fd: object, eventmask: int, /) -> None:
        """Change what is watched."""
        ...

    def unregister(self, fd: object, /) -> None:
        """Stop watching."""
        ...

    def poll(self, timeout: float | None = None, /) -> list[tuple[int, int]]:
        """Wait."""
        ...


def events_of(made: Socket) -> int:
    """Return what poll says of a socket now, whatever was asked for."""
    if made.rx is None or made.tx is None:
        listening = made.backlog is not None
        return (IN if made.acceptable.open else 0) if listening else OUT | HUP
    ended = made.rx.at_end
    return (
        (IN if made.rx.readable.open else 0)
        | (OUT if made.tx.writable.open else 0)
        | (ERR if made.rx.error else 0)
        | (HUP if ended and (made.tx.shut or made.tx.broken) else 0)
        | (RDHUP if ended else 0)
    )


class Poll(Named):
    """Stands in for the object that `select.poll` makes. Time-outs in milliseconds."""

    __slots__ = ("gate", "real", "watched")

    KIND = "poll"
    OP = "poll.poll"
    PER_SECOND = 1000.0
    DEFAULT = select.POLLIN | select.POLLPRI | select.POLLOUT if hasattr(select, "POLLIN") else 0

    def __init__(self, execution: Execution) -> None:
        self.adopt(execution)
        self.watched: dict[Socket, int] = {}
        self.gate = AnyGate(execution, self)
        self.real: RealPoll | None = None

    def register(self, fd: object, eventmask: int = DEFAULT) -> None:
        """Watch a modelled socket; again: for other events."""
        if self.real is not None or (not self.watched and is_foreign(fd)):
            self._pass_through().register(fd, eventmask)
            return
        made = socket_of(fd)
        if made in self.watched:
            self._again(made)
        self.execution.unseen += NUMBERS
        self.watched[made] = eventmask
        for gate in _gates(made, eventmask):
            self.gate.watch(gate)

    def modify(self, fd: object, eventmask: int) -> None:
        """Watch a socket for other events; raises `FileNotFoundError` if it is not watched."""
        if self.real is not None:
            self.real.modify(fd, eventmask)
            return
        made = socket_of(fd)
        if made not in self.watched:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        self._forget(made)
        self.register(made, eventmask)

    def unregister(self, fd: object) -> None:
        """Stop watching; raises `KeyError` if the socket is not watched."""
        if self.real is not None:
            self.real.unregister(fd)
            return
        made = socket_of(fd)
        if made not in self.watched:
            raise self._missing(made)
        self._forget(made)

    def poll(self, timeout: float | None = None) -> list[tuple[int, int]]:
        """Wait for an event; return (descriptor, events) of those that have some, in the order of registration."""
        if self.real is not None:
            return self.real.poll(timeout)
        execution = running_execution()
        me = me_of(execution)
        seconds = None if timeout is None or timeout < 0 else timeout / self.PER_SECOND
        if seconds == 0:
            execution.point(me, self.OP, self)
            if not self.gate.open:
                me.yields += 1
        else:
            execution.pass_gate(me, self.OP, self, self.gate, seconds)
        return [
            (made.number, seen)
            for made, asked in self.watched.items()
            if (seen := events_of(made) & (asked | ALWAYS))
        ]

    def _again(self, made: Socket) -> None:
        self._forget(made)

    def _missing(self, made: Socket) -> Exception:
        return KeyError(made.number)

    def _forget(self, made: Socket) -> None:
        self.execution.unseen += NUMBERS
        for gate in _gates(made, self.watched.pop(made)):
            self.gate.unwatch(gate)

    def _make_real(self) -> RealPoll:
        assert _real.poll is not None
        return _real.poll()  # type: ignore[no-any-return]

    def _pass_through(self) -> RealPoll:
        if self.real is None:
            self.real = self._make_real()
            uncontrolled(running_execution(), f"{self.OP} on files")
        return self.real


class Epoll(Poll):
    """Stands in for `select.epoll`, level triggered. Time-outs in seconds."""

    __slots__ = ("closed",)

    KIND = "epoll"
    OP = "epoll.poll"
    PER_SECOND = 1.0

    def __init__(self, execution: Execution) -> None:
        super().__init__(execution)
        self.closed = False

    def register(self, fd: object, eventmask: int = Poll.DEFAULT) -> None:
        """Watch a modelled socket; raises `FileExistsError` when it is watched already."""
        if eventmask & (EDGE | ONE_SHOT):
            raise ValueError(
                "EPOLLET and EPOLLONESHOT are not modelled in a check; register level triggered"
            )
        super().register(fd, eventmask)

    def poll(self, timeout: float | None = None, maxevents: int = -1) -> list[tuple[int, int]]:
        """As poll, at most `maxevents` of them."""
        if self.closed:
            raise ValueError("I/O operation on closed epoll object")
        ready = super().poll(-1 if timeout is None and self.real is not None else timeout)
        return ready if maxevents < 0 else ready[:maxevents]

    def close(self) -> None:
        """Watch nothing any more."""
        self.closed = True
        for made in list(self.watched):
            self._forget(made)
        if self.real is not None:
            self.real.close()  # type: ignore[attr-defined] # an epoll object has it

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _again(self, made: Socket) -> None:
        del made
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))

    def _missing(self, made: Socket) -> Exception:
        del made
        return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    def _make_real(self) -> RealPoll:
        assert _real.epoll is not None
        return _real.epoll()  # type: ignore[no-any-return]


def _gates(made: Socket, events: int) -> list[Gate]:
    """What can make one of the events true. A hang-up or an error shows at the reading side."""
    gates = []
    if events & (IN | RDHUP) or not events & OUT:
        gates.append(readable(made))
    if events & OUT and made.tx is not None:
        gates.append(made.tx.writable)
    return gates


def _poll() -> object:
    """Stand in for `select.poll`."""
    execution = current.controlled()
    if execution is None:
        assert _real.poll is not None
        return _real.poll()
    return Poll(execution)


def _epoll(sizehint: int = -1, flags: int = 0) -> object:
    """Stand in for `select.epoll`."""
    execution = current.controlled()
    if execution is None:
        assert _real.epoll is not None
        return _real.epoll(sizehint, flags)
    return Epoll(execution)


def rows() -> list[Patch]:
    """Return the patches of `select`, where the system has them."""
    made = (("poll", _poll, _real.poll), ("epoll", _epoll, _real.epoll))
    return [Patch(select, name, stand_in) for name, stand_in, real in made if real is not None]
