"""Migration URIs: parsed, opened, refused."""

from __future__ import annotations

import contextlib
import pathlib
import socket

import pytest

from mig import transport


@pytest.mark.parametrize(
    ("uri", "family", "target"),
    [
        ("tcp:127.0.0.1:4444", socket.AF_INET, ("127.0.0.1", 4444)),
        ("tcp::0", socket.AF_INET, ("127.0.0.1", 0)),
        ("tcp:[::1]:4444", socket.AF_INET6, ("::1", 4444)),
        ("unix:/a:b", socket.AF_UNIX, "/a:b"),
    ],
)
def test_parse(uri: str, family: int, target: object) -> None:
    """Each form gives its address family and target."""
    address = transport.parse(uri)
    assert (address.uri, address.family, address.target) == (uri, family, target)


@pytest.mark.parametrize(
    "uri",
    ["", "tcp", "tcp:", "tcp:4444", "tcp:h:x", "tcp:h:-1", "tcp:h:65536", "tcp:h:99999999999",
     "tcp:a:b:1", "tcp:h:\u0661", "unix:", "unix", "unix:" + "x" * 108, "unix:a\0b", "rdma:h:1",
     "fd:", "fd:x", "fd:-1", "fd:9999999", "exec:", "exec:  ", "exec:a\0b", "exec:" + "x" * 70000,
     "file:", "file:,offset=4", "file:a\0b", "file:a,offset=", "file:a,offset=-1",
     "file:a,offset=5P", "file:a,offset=9999999999999999999"],
)  # fmt: skip
def test_unknown_uris_are_refused(uri: str) -> None:
    """What is no URI is refused, naming it and the forms that are."""
    with pytest.raises(transport.TransportError) as caught:
        transport.parse(uri)
    assert str(caught.value) == f"{uri}: {caught.value.what}; {caught.value.remedy}"
    assert caught.value.remedy


@pytest.mark.parametrize("scheme", ["tcp", "unix"])
def test_connection_carries_bytes(tmp_path: pathlib.Path, scheme: str) -> None:
    """A source that connects to the listener's address reaches it."""
    uri = "tcp:127.0.0.1:0" if scheme == "tcp" else f"unix:{tmp_path}/s"
    with (
        transport.listen(uri) as listener,
        contextlib.closing(transport.connect(listener.uri)) as source,
        contextlib.closing(listener.accept(5)) as destination,
    ):
        source.sendall(b"QEVM")
        assert destination.recv(4) == b"QEVM"
        assert isinstance(source, socket.socket)
        assert isinstance(destination, socket.socket)
        assert source.gettimeout() is destination.gettimeout() is None
    assert list(tmp_path.iterdir()) == []


def test_refused_connection_names_the_address(tmp_path: pathlib.Path) -> None:
    """Nobody listening gives the reason and a remedy."""
    with transport.listen("tcp:127.0.0.1:0") as listener:
        uri = listener.uri
    with pytest.raises(transport.TransportError, match=f"{uri}: cannot connect .*refused"):
        transport.connect(uri)
    with pytest.raises(transport.TransportError, match=r"cannot connect .*No such file"):
        transport.connect(f"unix:{tmp_path}/nobody")


def test_address_in_use(tmp_path: pathlib.Path) -> None:
    """A taken address is refused, and a file that stands there is left alone."""
    taken = pathlib.Path(tmp_path, "s")
    taken.write_text("mine")
    with pytest.raises(transport.TransportError, match=r"cannot listen .*in use"):
        transport.listen(f"unix:{taken}")
    assert taken.read_text() == "mine"
    with (
        transport.listen("tcp:127.0.0.1:0") as listener,
        pytest.raises(transport.TransportError, match="cannot listen"),
    ):
        transport.listen(listener.uri)


def test_no_source_comes(tmp_path: pathlib.Path) -> None:
    """Waiting for a source ends with an error after the timeout."""
    with (
        transport.listen(f"unix:{tmp_path}/s") as listener,
        pytest.raises(transport.TransportError, match="no source came"),
    ):
        listener.accept(0.001)
