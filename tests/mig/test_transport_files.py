"""Streams that are no sockets: descriptors, files and commands."""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from mig import transport
from mig.incoming import Incoming, State
from mig.parameters import Parameters
from mig.runstate import MigrationState
from tests.mig.machines import WAIT, make

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mig.machine import Machine
    from mig.migration import Migration


def opened(uri: str) -> contextlib.closing[transport.Stream]:
    """A stream to be written, closed at the end."""
    return contextlib.closing(transport.connect(uri))


def accepted(uri: str) -> contextlib.closing[transport.Stream]:
    """A stream to be read, closed at the end."""
    return contextlib.closing(transport.listen(uri).accept())


def delivered(stream: transport.Stream) -> None:
    """Finish a stream that has to be."""
    assert isinstance(stream, transport.Delivered)
    stream.deliver()


def rest(stream: transport.Stream) -> bytes:
    """Everything up to the end."""
    data = b""
    while piece := stream.recv(5):
        data += piece
    return data


@pytest.mark.parametrize(
    ("uri", "path", "offset"),
    [
        ("file:/a,b", "/a,b", None),
        ("file:a,offset=4096", "a", 4096),
        ("file:a,offset=0x1000", "a", 4096),
        ("file:a,offset=1M", "a", 1 << 20),
        ("file:a,offset=1,offset=0", "a,offset=1", 0),
    ],
)
def test_file_addresses(uri: str, path: str, offset: int | None) -> None:
    """The offset is what follows the last comma, in bytes or with a unit."""
    address = transport.parse(uri)
    assert (address.path, address.offset) == (path, offset)


def test_other_addresses() -> None:
    """A descriptor is a number, a command everything after the colon."""
    assert transport.parse("fd:7").fd == 7
    assert transport.parse("exec: a:b | c").command == " a:b | c"


def test_file_appears_when_delivered(tmp_path: pathlib.Path) -> None:
    """Under its name a file is whole, readable by its owner only, or what stood there before."""
    target = tmp_path / "guest.mig"
    target.write_text("old")
    link = tmp_path / "link"
    link.symlink_to(target)
    with opened(f"file:{link}") as stream:
        assert stream.sendmsg([b"ab", memoryview(b"cd")]) == 4
        stream.sendall(b"ef")
        assert target.read_text() == "old"
        delivered(stream)
    assert target.read_text() == "abcdef"
    assert target.stat().st_mode & 0o777 == 0o600
    assert sorted(tmp_path.iterdir()) == [target, link]
    with accepted(f"file:{target}") as source:
        assert rest(source) == b"abcdef"
        assert not transport.two_way(source)


def test_file_that_was_not_delivered(tmp_path: pathlib.Path) -> None:
    """Without `deliver`, or given up before it, nothing is there and nothing is lost."""
    target = tmp_path / "guest.mig"
    with opened(f"file:{target}") as stream:
        stream.sendall(b"half")
    assert list(tmp_path.iterdir()) == []
    target.write_text("old")
    with opened(f"file:{target}") as stream:
        stream.sendall(b"half")
        stream.shutdown(socket.SHUT_RDWR)
        with pytest.raises(OSError, match="given up"):
            delivered(stream)
        with pytest.raises(OSError, match="given up"):
            stream.sendall(b"more")
    stream.close()
    stream.shutdown(socket.SHUT_RDWR)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("guest.mig", "old")]


def test_file_with_an_offset(tmp_path: pathlib.Path) -> None:
    """What stands before the offset is kept; a stream that is not delivered is cut off."""
    target = tmp_path / "guest.mig"
    target.write_text("head, and an old stream")
    uri = f"file:{target},offset=4"
    with opened(uri) as stream:
        stream.sendall(b"new")
        delivered(stream)
    assert target.read_text() == "headnew"
    with accepted(uri) as source:
        assert rest(source) == b"new"
    with opened(uri) as stream:
        stream.sendall(b"half")
    assert target.read_text() == "head"
    with pytest.raises(transport.TransportError, match="the file has 4 bytes"):
        transport.listen(f"file:{target},offset=5").accept()


def test_special_file() -> None:
    """A device is written to, not replaced."""
    with opened("file:/dev/null") as stream:
        stream.sendall(b"gone")
        delivered(stream)
    assert pathlib.Path("/dev/null").is_char_device()


def test_files_that_cannot_be_used(tmp_path: pathlib.Path) -> None:
    """Missing directories, directories and missing files are refused."""
    for uri in (f"file:{tmp_path}/no/x", f"file:{tmp_path}", f"file:{tmp_path}/no/x,offset=1"):
        with pytest.raises(transport.TransportError, match="cannot write"):
            transport.connect(uri)
    with pytest.raises(transport.TransportError, match="cannot read"):
        transport.listen(f"file:{tmp_path}/no").accept()
    with pytest.raises(transport.TransportError, match="directory"):
        transport.listen(f"file:{tmp_path}").accept()


def test_descriptor_of_a_socket() -> None:
    """A connected socket is taken over as it is."""
    near, far = socket.socketpair()
    with far, opened(f"fd:{near.detach()}") as stream:
        assert transport.two_way(stream)
        stream.sendall(b"QEVM")
        assert far.recv(4) == b"QEVM"
    with socket.create_server(("127.0.0.1", 0)) as server:
        with pytest.raises(transport.TransportError, match="no connection"):
            transport.connect(f"fd:{server.fileno()}")
        assert server.fileno() >= 0


def test_descriptor_of_a_file(tmp_path: pathlib.Path) -> None:
    """A file is written where its descriptor stands; the wrong way is refused."""
    target = tmp_path / "guest.mig"
    with target.open("wb") as file, opened(f"fd:{os.dup(file.fileno())}") as stream:
        stream.sendall(b"QEVM")
        delivered(stream)
        with pytest.raises(transport.TransportError, match="cannot be used to read"):
            transport.listen(f"fd:{file.fileno()}").accept()
    with target.open("rb") as read:
        with pytest.raises(transport.TransportError, match="cannot be used to write"):
            transport.connect(f"fd:{read.fileno()}")
        with accepted(f"fd:{os.dup(read.fileno())}") as source:
            assert rest(source) == b"QEVM"
    with pytest.raises(transport.TransportError, match="not usable"):
        transport.connect("fd:1048575")


@contextlib.contextmanager
def pipe() -> Iterator[tuple[transport.Stream, transport.Stream]]:
    """Writer and reader of a pipe."""
    read, write = os.pipe()
    with opened(f"fd:{write}") as writer, accepted(f"fd:{read}") as reader:
        yield writer, reader


def test_pipe_carries_more_than_it_holds() -> None:
    """A writer waits for the reader, and the reader for the writer."""
    data = os.urandom(1 << 20)
    with pipe() as (writer, reader):

        def write() -> None:
            writer.sendall(data)
            writer.close()

        thread = threading.Thread(target=write)
        thread.start()
        assert rest_in_large_pieces(reader) == data
        thread.join()


def rest_in_large_pieces(stream: transport.Stream) -> bytes:
    """Everything up to the end."""
    return b"".join(iter(lambda: stream.recv(1 << 16), b""))


@pytest.mark.parametrize("reads", [False, True])
def test_blocked_pipe_is_woken(reads: bool) -> None:
    """`shutdown` of another thread ends a wait for a full or an empty pipe."""
    errors: list[OSError] = []
    with pipe() as (writer, reader):
        stream = reader if reads else writer

        def work() -> None:
            try:
                if reads:
                    reader.recv(1)
                else:
                    writer.sendall(bytes(1 << 20))
            except OSError as error:
                errors.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        stream.shutdown(socket.SHUT_RDWR)
        thread.join(WAIT)
    assert [str(error) for error in errors] == ["[Errno 125] the stream was given up"]


def test_command_that_ends_well(tmp_path: pathlib.Path) -> None:
    """A writer's command gets everything and its end; a reader's is read to the end."""
    target = tmp_path / "guest.mig"
    with opened(f"exec:cat > {target}") as stream:
        assert transport.two_way(stream)
        stream.sendall(b"QEVM")
        delivered(stream)
    assert target.read_bytes() == b"QEVM"
    with accepted(f"exec:cat {target}") as source:
        assert rest(source) == b"QEVM"


def test_answer_of_a_command() -> None:
    """What a command prints comes back to who writes to it."""
    with opened("exec:head -c 4") as stream:
        stream.sendall(b"QEVM")
        assert stream.recv(9) == b"QEVM"


@pytest.mark.parametrize(
    ("command", "how"), [("cat >/dev/null; exit 3", "exit status 3"), ("kill -9 $$", "signal 9")]
)
def test_command_that_fails(command: str, how: str) -> None:
    """A failing exit status is an error at either end."""
    with opened(f"exec:{command}") as stream, pytest.raises(OSError, match=how):
        delivered(stream)
    with accepted(f"exec:exec </dev/null; {command}") as source, pytest.raises(OSError, match=how):
        rest(source)


def test_command_that_does_not_read() -> None:
    """Writing to a command that has failed says how it did."""
    with opened("exec:exit 7") as stream, pytest.raises(OSError, match="exit status 7"):
        list(iter(lambda: stream.sendmsg([bytes(1 << 16)]), 0))


def test_command_is_ended(tmp_path: pathlib.Path) -> None:
    """Given up or closed early, a command ends with all it started, and sees no end of its input."""
    noted = tmp_path / "ended"
    with opened(f"exec:cat >/dev/null; touch {noted}; sleep 1000") as stream:
        stream.sendall(b"half")
        stream.shutdown(socket.SHUT_RDWR)
        with pytest.raises(OSError, match="signal 15"):
            delivered(stream)
    with opened(f"exec:cat >/dev/null; touch {noted}; sleep 1000") as stream:
        stream.sendall(b"half")
    stream.close()
    assert not noted.exists()


# --- whole migrations --------------------------------------------------------------------------------


@contextlib.contextmanager
def migrating(
    uri: str, parameters: Parameters | None = None
) -> Iterator[tuple[Machine, Migration]]:
    """A machine that migrates to `uri`."""
    source = make("source", parameters=parameters)
    try:
        source.ram.find("ram").view[:4] = b"QEVM"
        source.start()
        yield source, source.migrate(transport.connect(uri))
    finally:
        source.close()


def loaded(uri: str, source: Machine) -> Incoming:
    """What comes of the stream at `uri`, compared with the source's memory."""
    destination = make("destination")
    same: list[bool] = []

    def compare() -> None:
        blocks = zip(source.ram.blocks(), destination.ram.blocks(), strict=True)
        same.append(all(bytes(a.view) == bytes(b.view) for a, b in blocks))

    incoming = Incoming(destination, transport.listen(uri).accept(), before_start=compare)
    incoming.run()
    destination.close()
    assert same == [incoming.state is State.COMPLETED] * len(same)
    return incoming


@pytest.mark.parametrize("way", ["file:{}/f", "file:{}/f,offset=4K", "exec:gzip > {}/f.gz"])
def test_guest_goes_to_a_file_and_comes_back(tmp_path: pathlib.Path, way: str) -> None:
    """A whole migration through a file, at its begin, after an offset, and compressed."""
    uri = way.format(tmp_path)
    with migrating(uri) as (source, migration):
        assert migration.join(WAIT)
        assert migration.error is None
        incoming = loaded(uri.replace("exec:gzip > ", "exec:gunzip < "), source)
    assert (incoming.state, incoming.error) == (State.COMPLETED, None)


def test_failing_command_fails_the_migration() -> None:
    """The guest runs on at the source, and the error says what the command said."""
    with migrating("exec:cat > /dev/null; exit 5") as (source, migration):
        assert migration.join(WAIT)
        assert migration.state.value is MigrationState.FAILED
        assert "ended with exit status 5" in str(migration.error)
        assert source.running


def test_cancelled_migration_leaves_no_file(tmp_path: pathlib.Path) -> None:
    """Whether new or with an offset, nothing of a cancelled stream stays."""
    slow = Parameters(max_bandwidth=10)
    head = tmp_path / "b"
    head.write_text("head")
    for uri in (f"file:{tmp_path}/a", f"file:{head},offset=4"):
        with migrating(uri, slow) as (source, migration):
            migration.cancel()
            assert migration.join(WAIT)
            assert migration.state.value is MigrationState.CANCELLED
            assert source.running
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("b", "head")]


def test_stream_cut_in_a_file_is_refused(tmp_path: pathlib.Path) -> None:
    """A file without its last byte starts no guest."""
    path = tmp_path / "f"
    with migrating(f"file:{path}") as (source, migration):
        assert migration.join(WAIT)
        path.write_bytes(path.read_bytes()[:-1])
        assert loaded(f"file:{path}", source).state is State.FAILED
