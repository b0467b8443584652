"""What a source claims to have sent: digests that ignore how records are gathered, and bounded parsing."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mig import checks, wire
from mig.checks import KEY, KINDS, Claim, ClaimError, RamChecks, Section
from mig.incoming import Incoming, State
from mig.ram import PAGE_SIZE
from mig.runstate import MigrationState
from tests.mig.machines import WAIT, make

if TYPE_CHECKING:
    from collections.abc import Callable

DIGEST = "0" * 32
CLAIM = Claim(dict.fromkeys(KINDS, 1), {"ram": DIGEST}, (Section("vcpu", 0, 1, 8),))


def test_gathering() -> None:
    """Named or not, piece by piece or at once: the same records have the same digest, others another."""
    page = bytes(range(256)) * 16
    named, plain, single, other = (RamChecks(["ram"]) for _ in range(4))
    head = wire.page_header(4096, "ram")
    named.sent("ram", [head + page, wire.zero_record(0, None)], names=True)
    plain.sent("ram", [wire.page_header(4096, None), page, wire.zero_record(0, None)], names=False)
    single.record("ram", 4096, wire.FLAG_PAGE, page)
    single.record("ram", 0, wire.FLAG_ZERO, b"\0")
    other.record("ram", 0, wire.FLAG_ZERO, b"\0")
    other.record("ram", 4096, wire.FLAG_PAGE, page)
    assert named.digests() == plain.digests() == single.digests() != other.digests()


def test_claims() -> None:
    """A claim is read back as it was written, also out of a VM description; others have none."""
    assert CLAIM == checks.parse(CLAIM.text())
    described = json.dumps({"page_size": 4096, KEY: CLAIM._replace(devices=()).values()})
    assert CLAIM._replace(devices=()) == checks.in_description(described.encode())
    assert checks.in_description(b'{"devices": []}') is None


@pytest.mark.parametrize(
    ("pages", "digests", "words"),
    [
        ({"normal": 2}, {}, "2 normal pages came, 1 were sent"),
        ({}, {"ram": "1" * 32}, "RAM block 'ram' is not what was sent"),
        ({}, {"rom": DIGEST}, "RAM block 'rom' is not what was sent"),
        ({}, {}, None),
    ],
)
def test_differences(pages: dict[str, int], digests: dict[str, str], words: str | None) -> None:
    """What came is compared kind by kind and block by block."""
    found = CLAIM.differences({**CLAIM.pages, **pages}, {**CLAIM.digests, **digests})
    assert (words is None) == (found is None)
    assert (words or "") in (found or "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 2}, "claim.version is '2', expected 1"),
        ({"pages": {"normal": -1}}, "claim.pages.normal is '-1'"),
        ({"blocks": {"ram": "12"}}, "claim.blocks['ram'] is '12'"),
        ({"blocks": []}, "claim.blocks is '[]', expected an object"),
        ({"devices": [["vcpu", 0, 1]]}, "claim.devices[0] is"),
        ({"devices": [["", 0, 1, 1]]}, "claim.devices[0][0] is ''"),
        ({"devices": [["vcpu", 0, 1, 1 << 40]]}, "claim.devices[0][3] is"),
        ({"devices": {}}, "claim.devices is '{}', expected a list"),
    ],
)
def test_refused(changes: dict[str, object], words: str) -> None:
    """Whatever is not a claim is refused with the place and the value."""
    with pytest.raises(ClaimError) as caught:
        checks.parse(json.dumps({**CLAIM.values(), **changes}).encode())
    assert words in str(caught.value)


@given(
    st.recursive(
        st.none() | st.integers() | st.text() | st.sampled_from([DIGEST, 1]),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from([KEY, "version", "pages", "blocks", "devices", *KINDS]), inner
            )
        ),
        max_leaves=8,
    )
)
def test_any_json(value: object) -> None:
    """No JSON makes parsing do anything but return a claim or say what is wrong."""
    for read in (checks.parse, checks.in_description):
        with contextlib.suppress(ClaimError):
            assert isinstance(read(json.dumps(value).encode()), Claim | None)


def test_no_json() -> None:
    """Text that is no JSON is refused, however deep it is."""
    for text in (b"", b"{", b"[" * 100_000, b"\xff"):
        with pytest.raises(ClaimError, match="is no JSON"):
            checks.parse(text)


def damaged(change: Callable[[bytes], bytes], *, return_path: bool) -> tuple[MigrationState, str]:
    """Migrate through a carrier that changes the stream: how it ended here, and the destination's error."""
    source, destination = make("source"), make("destination")
    near, carried_in = socket.socketpair()
    carried_out, far = socket.socketpair()
    source.ram.blocks()[0].array[:] = 7
    source.set_capabilities(return_path=return_path)
    source.start()
    incoming = Incoming(destination, far)

    def carry() -> None:
        while data := carried_in.recv(1 << 20):
            carried_out.sendall(change(data))
        carried_out.shutdown(socket.SHUT_WR)

    def answer() -> None:
        while data := carried_out.recv(1 << 20):
            carried_in.sendall(data)
        carried_in.shutdown(socket.SHUT_WR)

    threads = [threading.Thread(target=carry), threading.Thread(target=answer)]
    with carried_in, carried_out:
        for thread in threads:
            thread.start()
        incoming.start()
        migration = source.migrate(near)
        assert migration.join(WAIT)
        assert incoming.join(WAIT)
        runs = [source.running, destination.running]
        for thread in threads:
            thread.join(WAIT)
    source.close()
    destination.close()
    assert State.FAILED is incoming.state
    assert [return_path, False] == runs
    return migration.state.value, str(incoming.error)


def flip(data: bytes) -> bytes:
    """Change a byte of a page's content."""
    return data.replace(bytes((7,)) * PAGE_SIZE, bytes((7,)) * (PAGE_SIZE - 1) + b"\x08", 1)


def test_a_flipped_bit() -> None:
    """One changed byte of content: the destination does not start, and with a return path the source runs on."""
    for return_path, state in (
        (True, MigrationState.FAILED),
        (False, MigrationState.COMPLETED),
    ):
        ended, error = damaged(flip, return_path=return_path)
        assert "what came of RAM block 'ram' is not what was sent" in error
        assert state is ended
