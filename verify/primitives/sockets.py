"""Stream sockets in memory: socketpair, and TCP and unix addresses that exist only inside one execution.

Promises: bounded buffers, so writes are partial and block as real ones do; reads return what is
there; closing and shutting down are seen by the peer (end of file, broken pipe); time-outs are
virtual. Bytes sent take virtual time at the link's byte rate (`Settings.link_bytes_per_s`). A
socket's gates name the task that last used the other end, so that a hang report can say who was
expected to read. Does not do: datagrams, out-of-band data, TLS, descriptors shared with real files.
Closing a socket does not wake a task that is blocked in it (as on Linux).
"""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from typing import TYPE_CHECKING, Self
from weakref import WeakValueDictionary

from verify import _real
from verify.primitives.patches import me_of
from verify.runtime import current
from verify.runtime.gate import Gate
from verify.runtime.naming import Named

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from verify.runtime.execution import Execution
    from verify.runtime.task import Task

    Buffer = bytes | bytearray | memoryview

FIRST_PORT = 40_000
FIRST_FILENO = 1_000


class Stream(Named):
    """Bytes under way in one direction between two sockets."""

    __slots__ = ("at_end", "broken", "data", "limit", "readable", "writable")

    KIND = "stream"

    def __init__(self, execution: Execution, limit: int) -> None:
        self.adopt(execution)
        self.data = bytearray()
        self.limit = limit
        self.at_end = False
        self.broken = False
        self.readable = Gate(execution, self, is_open=False)
        self.writable = Gate(execution, self, is_open=True)

    def settle(self) -> None:
        """Set both gates after a change."""
        if self.data or self.at_end:
            self.readable.set_open()
        else:
            self.readable.set_closed()
        if self.broken or len(self.data) < self.limit:
            self.writable.set_open()
        else:
            self.writable.set_closed()

    def end(self) -> None:
        """The writer will write no more."""
        self.at_end = True
        self.settle()

    def break_off(self) -> None:
        """The reader will read no more."""
        self.broken = True
        self.data.clear()
        self.settle()


class Network:
    """The addresses of one execution."""

    def __init__(self) -> None:
        self.listeners: dict[object, Socket] = {}
        self.next_port = FIRST_PORT
        self.next_fileno = FIRST_FILENO
        self.by_number: WeakValueDictionary[int, Socket] = WeakValueDictionary()

    @classmethod
    def of(cls, execution: Execution) -> Network:
        """Return the network of an execution."""
        network = execution.user.get(cls)
        if not isinstance(network, Network):
            network = execution.user[cls] = cls()
        return network


class Socket(Named):
    """Stands in for `socket.socket` (stream sockets)."""

    __slots__ = (
        "acceptable", "address", "backlog", "closed", "family", "number", "options", "peer_address", "proto", "rx",
        "timeout", "tx", "type",
    )  # fmt: skip

    KIND = "socket"

    def __new__(
        cls,
        family: int = -1,
        type: int = -1,
        proto: int = -1,
        fileno: int | None = None,
    ) -> Self:
        """Make a model for a controlled caller, a real socket for any other thread."""
        running = current.controlled()
        if running is None:
            return _real.Socket(family, type, proto, fileno)  # type: ignore[return-value]
        family = socket.AF_INET if family == -1 else family
        kind = socket.SOCK_STREAM if type == -1 else type
        if fileno is not None:
            raise OSError(
                errno.EBADF,
                "sockets made from a descriptor are not controlled; make one by connecting",
            )
        if kind & 0xF != socket.SOCK_STREAM or family not in {
            socket.AF_INET,
            socket.AF_INET6,
            socket.AF_UNIX,
        }:
            raise OSError(
                errno.EAFNOSUPPORT,
                "only stream sockets (inet, inet6, unix) are modelled in a check",
            )
        self = object.__new__(cls)
        self.begin(running, family, kind, proto)
        return self

    def begin(self, execution: Execution, family: int, kind: int, proto: int) -> None:
        """Be an unconnected socket of `execution`."""
        self.adopt(execution)
        self.family = socket.AddressFamily(family)
        self.type = socket.SocketKind(kind)
        self.proto = max(proto, 0)
        network = Network.of(execution)
        self.number = network.next_fileno
        network.next_fileno += 1
        network.by_number[self.number] = self
        self.timeout: float | None = None
        self.closed = False
        self.rx: Stream | None = None
        self.tx: Stream | None = None
        self.backlog: deque[Socket] | None = None
        self.acceptable = Gate(execution, self, is_open=False)
        self.address: object = "" if family == socket.AF_UNIX else ("0.0.0.0", 0)  # noqa: S104 - what an unbound one says
        self.peer_address: object = None
        self.options: dict[tuple[int, int], object] = {}

    # --- addresses

    def bind(self, address: object) -> None:
        """Take an address; port 0 takes the next free one."""
        network = self._enter("socket.bind")
        if isinstance(address, tuple) and address[1] == 0:
            address = (address[0], network.next_port)
            network.next_port += 1
        if address in network.listeners:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        self.address = address

    def listen(self, backlog: int = 128) -> None:
        """Accept connections from now on."""
        del backlog
        network = self._enter("socket.listen")
        self.backlog = deque()
        network.listeners[self.address] = self

    def connect(self, address: object) -> None:
        """Connect to a listening socket of the same execution."""
        network = self._enter("socket.connect")
        listener = network.listeners.get(address)
        if listener is None or listener.backlog is None:
            missing = self.family == socket.AF_UNIX
            if missing:
                raise FileNotFoundError(errno.ENOENT, "No such file or directory")
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        peer = Socket(self.family, self.type)
        join(self, peer)
        self.peer_address = listener.address
        peer.address = listener.address
        if self.family != socket.AF_UNIX:
            self.address = ("127.0.0.1", network.next_port)
            network.next_port += 1
        peer.peer_address = self.address
        listener.backlog.append(peer)
        listener.acceptable.set_open()

    def connect_ex(self, address: object) -> int:
        """As connect, but return the error number."""
        try:
            self.connect(address)
        except OSError as error:
            return error.errno or 0
        return 0

    def accept(self) -> tuple[Socket, object]:
        """Wait for a connection."""
        execution, me = self._use()
        if self.backlog is None:
            raise OSError(errno.EINVAL, "Invalid argument")
        self._await(execution, me, "socket.accept", self, self.acceptable)
        peer = self.backlog.popleft()
        if not self.backlog:
            self.acceptable.set_closed()
        return peer, peer.peer_address

    # --- bytes

    def send(self, data: Buffer, flags: int = 0) -> int:
        """Send what the buffer takes, at least one byte; return how many."""
        del flags
        execution, me = self._use()
        stream = self._connected(self.tx)
        if not len(data):
            return 0
        self._used_by(me, stream.readable, self.rx.writable if self.rx is not None else None)
        self._await(execution, me, "socket.send", stream, stream.writable)
        if stream.broken or stream.at_end:
            raise BrokenPipeError(errno.EPIPE, "Broken pipe")
        with memoryview(data) as view, view.cast("B") as octets:
            count = min(len(octets), stream.limit - len(stream.data))
            stream.data += octets[:count]
        rate = execution.settings.link_bytes_per_s
        if rate:
            execution.clock.advance(count / rate)
        stream.settle()
        return count

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        """Send everything, in as many steps as the buffer needs."""
        with memoryview(data) as view, view.cast("B") as octets:
            at = 0
            while at < len(octets):
                at += self.send(octets[at:], flags)

    def sendmsg(self, buffers: Iterable[Buffer], *_ancillary: object) -> int:
        """Send a list of buffers as `send` would their concatenation."""
        return self.send(b"".join(buffers))

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Wait for bytes; return up to `size` of them, or none at the end of the stream."""
        execution, me = self._use()
        stream = self._connected(self.rx)
        self._used_by(me, stream.writable, self.tx.readable if self.tx is not None else None)
        self._await(execution, me, "socket.recv", stream, stream.readable)
        piece = bytes(stream.data[:size])
        if not flags & socket.MSG_PEEK:
            del stream.data[:size]
        stream.settle()
        return piece

    def recv_into(self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0) -> int:
        """As recv, into `buffer`; return how many bytes."""
        with memoryview(buffer) as view, view.cast("B") as octets:
            piece = self.recv(nbytes or len(octets), flags)
            octets[: len(piece)] = piece
        return len(piece)

    def shutdown(self, how: int) -> None:
        """End one direction or both."""
        self._enter("socket.shutdown")
        if self.tx is None or self.rx is None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        if how in {socket.SHUT_WR, socket.SHUT_RDWR}:
            self.tx.end()
            # A writer blocked on the full buffer gets its error now.
            self.tx.writable.set_open()
        if how in {socket.SHUT_RD, socket.SHUT_RDWR}:
            self.rx.end()

    def close(self) -> None:
        """Close: the peer sees the end of the stream."""
        if self.closed:
            return
        execution = current.execution
        if execution is not None and execution.current is not None:
            execution.point(execution.current, "socket.close", self)
            network = Network.of(execution)
            if network.listeners.get(self.address) is self:
                del network.listeners[self.address]
        self.closed = True
        if self.tx is not None:
            self.tx.end()
        if self.rx is not None:
            self.rx.break_off()

    # --- the rest of the interface

    def fileno(self) -> int:
        """Return a number that is unique in the execution, -1 once closed."""
        return -1 if self.closed else self.number

    def settimeout(self, timeout: float | None) -> None:
        """Set the time-out of later operations: None for ever, 0 not to block."""
        if timeout is not None and timeout < 0:
            raise ValueError("Timeout value out of range")
        self.timeout = timeout

    def gettimeout(self) -> float | None:
        """Return the time-out."""
        return self.timeout

    def setblocking(self, flag: bool) -> None:
        """Block for ever, or not at all."""
        self.timeout = None if flag else 0.0

    def getblocking(self) -> bool:
        """Say whether operations may block."""
        return self.timeout != 0.0

    def setsockopt(self, level: int, option: int, value: object, length: int = 0) -> None:
        """Remember an option; none changes the model."""
        del length
        self.options[level, option] = value

    def getsockopt(self, level: int, option: int, length: int = 0) -> object:
        """Return an option as set, 0 by default."""
        del length
        return self.options.get((level, option), 0)

    def getsockname(self) -> object:
        """Return the own address."""
        return self.address

    def getpeername(self) -> object:
        """Return the peer's address."""
        if self.rx is None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return self.peer_address

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self.title} fd={self.fileno()}>"

    # --- inside

    def _use(self) -> tuple[Execution, Task]:
        execution = current.execution
        if self.closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if execution is None or self.execution is not execution:
            raise OSError(errno.EBADF, "this socket belongs to a check that has ended")
        return execution, me_of(execution)

    def _enter(self, op: str) -> Network:
        execution, me = self._use()
        execution.point(me, op, self)
        return Network.of(execution)

    def _await(self, execution: Execution, me: Task, op: str, target: object, gate: Gate) -> None:
        timeout = self.timeout
        if timeout == 0.0:
            execution.point(me, op.replace("socket.", "socket.try_"), target)
            if not gate.open:
                me.yields += 1
                raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        elif not execution.pass_gate(me, op, target, gate, timeout):
            raise TimeoutError("timed out")
        if self.closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    @staticmethod
    def _used_by(me: Task, served: Gate, other: Gate | None) -> None:
        # Who is expected to open a stream's gates: the last task to use that end for it, or, while nobody has, for
        # anything at all. Only a hang report reads this.
        served.owner = me
        if other is not None and other.owner is None:
            other.owner = me

    @staticmethod
    def _connected(stream: Stream | None) -> Stream:
        if stream is None:
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        return stream


def join(one: Socket, other: Socket) -> None:
    """Connect two sockets by a stream in each direction."""
    limit = one.execution.settings.socket_buffer
    one.tx = other.rx = Stream(one.execution, limit)
    other.tx = one.rx = Stream(one.execution, limit)


def socketpair(
    family: int | None = None, kind: int = socket.SOCK_STREAM, proto: int = 0
) -> tuple[Socket, Socket]:
    """Stand in for `socket.socketpair`."""
    if current.controlled() is None:
        return _real.socketpair(family, kind, proto)  # type: ignore[return-value]
    one = Socket(socket.AF_UNIX if family is None else family, kind, proto)
    other = Socket(socket.AF_UNIX if family is None else family, kind, proto)
    join(one, other)
    one.peer_address = other.peer_address = ""
    return one, other


def create_connection(
    address: tuple[str | None, int],
    timeout: object = None,
    source_address: object = None,
    *,
    all_errors: bool = False,
) -> Socket:
    """Stand in for `socket.create_connection`."""
    if current.controlled() is None:
        return _real.create_connection(address, timeout, source_address, all_errors=all_errors)  # type: ignore[return-value, arg-type]
    made = Socket(socket.AF_INET)
    if isinstance(timeout, int | float):
        made.settimeout(timeout)
    made.connect(("127.0.0.1" if address[0] in {None, "", "localhost"} else address[0], address[1]))
    return made


def create_server(
    address: tuple[str, int],
    *,
    family: int = socket.AF_INET,
    backlog: int | None = None,
    **options: object,
) -> Socket:
    """Stand in for `socket.create_server`."""
    if current.controlled() is None:
        return _real.create_server(address, family=family, backlog=backlog, **options)  # type: ignore[return-value, arg-type]
    made = Socket(family)
    if isinstance(address, tuple):
        address = ("127.0.0.1" if address[0] in {"", "localhost"} else address[0], address[1])
    made.bind(address)
    made.listen(backlog or 128)
    return made
