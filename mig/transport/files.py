"""`fd:` and `file:`: descriptors that are no sockets.

Promises: a target file appears under its name when the stream was delivered, synced to the disk, and not
before; closed without that, it is not there (or what stood there before still is). With an offset the
file is written in place: what stands before the offset is kept, what stood after it is dropped, and a
stream that was not delivered is cut off again. Blocked reads and writes of a pipe end at `shutdown`.
Assumes: one thread writes or reads, others only shut down or close.
Does not: lock the file.

A pipe is made non-blocking as long as it is used, as QEMU does: its other users see that.
"""

from __future__ import annotations

import errno
import fcntl
import os
import pathlib
import select
import socket
import stat
import tempfile
import threading
from typing import TYPE_CHECKING, Final, Literal

from mig.transport.address import TransportError
from mig.transport.sockets import reason
from mig.transport.stream import Delivered, OneWay, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from mig.transport.address import Address

    Way = Literal["read", "write"]

_PIECES: Final = 1000
"""Pieces of one system call; Linux takes 1024."""


def _nothing() -> None:
    pass


class FileStream(Delivered, OneWay):
    """A stream on a descriptor, which it owns.

    `finish` puts the file under its name, `discard` undoes what was written; one of the two is called.
    """

    def __init__(
        self,
        fd: int,
        *,
        finish: Callable[[], None] = _nothing,
        discard: Callable[[], None] = _nothing,
    ) -> None:
        self._fd = fd
        self._finish = finish
        self._discard = discard
        self._lock = threading.Lock()
        self._given_up = False
        self._done = False
        self._closed = False
        self._waits = not stat.S_ISREG(os.fstat(fd).st_mode)
        self._blocking = os.get_blocking(fd)
        if self._waits:
            os.set_blocking(fd, False)
        self._woken, self._wake = os.pipe()

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def _wait(self, event: int) -> None:
        """Wait until the descriptor is ready; raises `OSError` after `shutdown`."""
        poll = select.poll()
        poll.register(self._fd, event)
        poll.register(self._woken, select.POLLIN)
        poll.poll()
        self._check()

    def _check(self) -> None:
        if self._given_up:
            raise OSError(errno.ECANCELED, "the stream was given up")

    def recv(self, size: int, /) -> bytes:
        """At most `size` bytes; empty at the end."""
        while True:
            self._check()
            try:
                return os.read(self._fd, size)
            except BlockingIOError:
                self._wait(select.POLLIN)

    def sendmsg(self, buffers: Iterable[bytes | memoryview], /) -> int:
        """Write as much as the descriptor takes at once, at least a byte of what there is."""
        pieces = list(buffers)[:_PIECES]
        while True:
            self._check()
            try:
                return os.writev(self._fd, pieces)
            except BlockingIOError:
                self._wait(select.POLLOUT)

    def sendall(self, data: bytes, /) -> None:
        """Write everything."""
        left = memoryview(data).cast("B")
        while left:
            left = left[self.sendmsg([left]) :]

    def shutdown(self, how: int, /) -> None:
        """Give up when both ways are meant; a single one means nothing here."""
        if how == socket.SHUT_RDWR:
            with self._lock:
                self._given_up = True
                if not self._closed:
                    os.write(self._wake, b"x")

    def deliver(self) -> None:
        """Sync, and put the file under its name.

        Named under the lock: a `shutdown` comes before, and the file is not there, or after, and it is.
        """
        if not self._waits:
            os.fsync(self._fd)
        with self._lock:
            self._check()
            self._finish()
            self._done = True

    def close(self) -> None:
        """Close; what was not delivered is discarded."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        try:
            if not self._done:
                self._discard()
        finally:
            if self._waits:
                os.set_blocking(self._fd, self._blocking)
            for fd in (self._fd, self._woken, self._wake):
                os.close(fd)


def from_descriptor(address: Address, way: Way) -> Stream:
    """The stream of `fd:N`; raises `TransportError`."""
    fd = address.fd
    remedy = "give the number of a connected socket, a pipe or a file that this process inherited"
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            return _from_socket(address, remedy)
        access = fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_ACCMODE
    except OSError as error:
        raise TransportError(address.uri, f"not usable ({reason(error)})", remedy) from None
    if stat.S_ISDIR(mode) or access == (os.O_WRONLY if way == "read" else os.O_RDONLY):
        raise TransportError(address.uri, f"the descriptor cannot be used to {way}", remedy)
    return FileStream(fd)


def _from_socket(address: Address, remedy: str) -> socket.socket:
    with socket.socket(fileno=os.dup(address.fd)) as probe:
        stream = probe.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
        listens = probe.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) != 0
    if not stream or listens:
        raise TransportError(address.uri, "this socket is no connection", remedy)
    sock = socket.socket(fileno=address.fd)
    sock.settimeout(None)
    return sock


def open_source(address: Address) -> FileStream:
    """The file to be read, at its offset; raises `TransportError`."""
    remedy = "give the path of a readable file that holds a stream"
    offset = address.offset or 0
    try:
        fd = os.open(address.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise TransportError(address.uri, f"cannot read ({reason(error)})", remedy) from None
    found = os.fstat(fd)
    what = ""
    if stat.S_ISDIR(found.st_mode):
        what = "this is a directory"
    elif offset > found.st_size:
        what = f"the file has {found.st_size} bytes"
    if what:
        os.close(fd)
        raise TransportError(address.uri, what, remedy)
    if offset:
        os.lseek(fd, offset, os.SEEK_SET)
    return FileStream(fd)


def open_target(address: Address) -> FileStream:
    """The file to be written; raises `TransportError`."""
    # Behind a symbolic link the file is replaced, not the link.
    path = pathlib.Path(os.path.realpath(address.path))
    try:
        special = path.exists() and not path.is_file()
        if special:
            return FileStream(os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NONBLOCK))
        return _renamed(path) if address.offset is None else _in_place(path, address.offset)
    except (OSError, ValueError) as error:
        what = f"cannot write ({reason(error) if isinstance(error, OSError) else error})"
        remedy = "give the path of a file in a directory that can be written to"
        raise TransportError(address.uri, what, remedy) from None


def _renamed(path: pathlib.Path) -> FileStream:
    # mkstemp makes it readable by the owner only: guest memory is nobody else's business.
    fd, made = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=path.parent)
    part = pathlib.Path(made)

    def finish() -> None:
        part.replace(path)
        _sync_directory(path.parent)

    return FileStream(fd, finish=finish, discard=lambda: part.unlink(missing_ok=True))


def _in_place(path: pathlib.Path, offset: int) -> FileStream:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.ftruncate(fd, offset)
        os.lseek(fd, offset, os.SEEK_SET)
    except OSError:
        os.close(fd)
        raise
    return FileStream(fd, discard=lambda: os.ftruncate(fd, offset))


def _sync_directory(path: pathlib.Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
