"""Stream sockets in memory: socketpair, and TCP and unix addresses that exist only inside one execution.

Promises: bounded buffers, so writes are partial and block as real ones do; reads return what is
there; closing and shutting down are seen by the peer (end of file, broken pipe, reset: see
`streams`); time-outs are virtual. Bytes sent take virtual time at the link's byte rate (`Settings.link_bytes_per_s`). A
socket's gates name the task that last used the other end, so that a hang report can say who was
expected to read. Does not do: datagrams, out-of-band data, TLS, descriptors shared with real files.
Closing a socket does not wake a task that is blocked in it (as on Linux).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Self
from weakref import WeakValueDictionary

from verify import _real
from verify.abc import NUMBERS
from verify.primitives.patches import me_of
from verify.primitives.streams import Stream
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
LINGER = struct.Struct("ii")


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
        execution.unseen += NUMBERS
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
        self._await(execution, me, "socket.accept", self, self.acceptable, self.timeout)
        peer = self.backlog.popleft()
        if not self.backlog:
            self.acceptable.set_closed()
        return peer, peer.peer_address

    # --- bytes

    def send(self, data: Buffer, flags: int = 0) -> int:
        """Send what the buffer takes, at least one byte; return how many. MSG_DONTWAIT: do not wait for room."""
        execution, me = self._use()
        stream = self._connected(self.tx)
        if not len(data):
            self._check_writable(stream)
            return 0
        self._used_by(me, stream.readable, self.rx.writable if self.rx is not None else None)
        timeout = 0.0 if flags & socket.MSG_DONTWAIT else self.timeout
        self._await(execution, me, "socket.send", stream, stream.writable, timeout)
        self._check_writable(stream)
        with memoryview(data) as view, view.cast("B") as octets:
            count = stream.put(octets)
        if stream.deaf and self.rx is not None:
            # The peer's answer to bytes for a socket that is gone: both ends are told, and the next send fails.
            self.rx.reset()
            stream.reset()
            stream.refuse()
        rate = execution.settings.link_bytes_per_s
        if rate:
            execution.advance(count / rate)
        stream.settle()
        return count

    def sendall(self, data: Buffer, flags: int = 0) -> None:
        """Send everything, in as many steps as the buffer needs."""
        with memoryview(data) as view, view.cast("B") as octets:
            at = 0
            while at < len(octets):
                at += self.send(octets[at:], flags)

    def sendmsg(
        self,
        buffers: Iterable[Buffer],
        _ancillary: Iterable[object] = (),
        flags: int = 0,
        _address: object = None,
    ) -> int:
        """Send a list of buffers as `send` would their concatenation."""
        return self.send(b"".join(buffers), flags)

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Wait for bytes; return up to `size` of them, or none at the end of the stream."""
        execution, me = self._use()
        stream = self._connected(self.rx)
        self._used_by(me, stream.writable, self.tx.readable if self.tx is not None else None)
        self._await(execution, me, "socket.recv", stream, stream.readable, self.timeout)
        return stream.take(size, peek=bool(flags & socket.MSG_PEEK))

    def recv_into(self, buffer: bytearray | memoryview, nbytes: int = 0, flags: int = 0) -> int:
        """As recv, into `buffer`; return how many bytes."""
        with memoryview(buffer) as view, view.cast("B") as octets:
            piece = self.recv(nbytes or len(octets), flags)
            octets[: len(piece)] = piece
        return len(piece)

    def shutdown(self, how: int) -> None:
        """End one direction or both."""
        self._enter("socket.shutdown")
        if self.tx is None or self.rx is None or self._is_reset():
            raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")
        if how not in {socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR}:
            raise OSError(errno.EINVAL, "Invalid argument")
        if how != socket.SHUT_RD:
            self.tx.end()  # a writer blocked on the full buffer gets its error now
        if how != socket.SHUT_WR:
            self.rx.stop_reading()
        if how == socket.SHUT_RDWR and self.rx.is_tcp and not self.rx.shut:
            self.rx.deaf = True
            self.rx.settle()

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
        for pending in self.backlog or ():
            pending.abort()
        if self.tx is not None and self.rx is not None:
            if self.rx.data or self._lingers_not():
                self.abort()
            else:
                self.tx.end()
                self.rx.drop()

    def abort(self) -> None:
        """Reset the connection: the peer has an error pending and nobody to send to."""
        if self.tx is not None and self.rx is not None:
            self.tx.reset()
            self.rx.drop()
            self.rx.refuse()

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
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR) and self.rx is not None:
            pending, self.rx.error = self.rx.error, 0
            return pending
        value = self.options.get((level, option), 0)
        return value[:length] if isinstance(value, bytes) and length else value

    def getsockname(self) -> object:
        """Return the own address."""
        return self.address

    def getpeername(self) -> object:
        """Return the peer's address."""
        if self.rx is None or self._is_reset():
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

    def _await(  # noqa: PLR0917 - who waits, how it is named, for what, how long
        self,
        execution: Execution,
        me: Task,
        op: str,
        target: object,
        gate: Gate,
        timeout: float | None,
    ) -> None:
        if timeout == 0.0:
            execution.point(me, op.replace("socket.", "socket.try_"), target)
            if not gate.open:
                me.yields += 1
                raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        elif not execution.pass_gate(me, op, target, gate, timeout):
            raise TimeoutError("timed out")
        if self.closed:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def _is_reset(self) -> bool:
        return self.tx is not None and self.tx.is_tcp and self.tx.broken

    def _lingers_not(self) -> bool:
        """Say whether closing drops the connection at once: SO_LINGER with a time of 0, of TCP alone."""
        value = self.options.get((socket.SOL_SOCKET, socket.SO_LINGER))
        if not isinstance(value, bytes) or len(value) != LINGER.size:
            return False
        return self.tx is not None and self.tx.is_tcp and LINGER.unpack(value) == (1, 0)

    def _check_writable(self, stream: Stream) -> None:
        if not (stream.broken or stream.shut):
            return
        pending = self.rx
        if stream.is_tcp and pending is not None and pending.error == errno.ECONNRESET:
            pending.error = 0
            raise ConnectionResetError(errno.ECONNRESET, "Connection reset by peer")
        if pending is not None and pending.error == errno.EPIPE:
            pending.error = 0
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

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
    is_tcp = one.family != socket.AF_UNIX
    one.tx = other.rx = Stream(one.execution, limit, is_tcp=is_tcp)
    other.tx = one.rx = Stream(one.execution, limit, is_tcp=is_tcp)
    one.tx.key = one.rx.key = other.key = (
        one.key
    )  # an operation on one end may change what the other sees


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
