"""Damaged streams of a stage3, by kind: the destination refuses each with one clear error, and does not start."""

from __future__ import annotations

import contextlib
import functools
import json
import re
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from mig import wire
from mig.incoming import Incoming, State
from mig.ram import PAGE_SIZE
from tests.mig.machines import WAIT, make

if TYPE_CHECKING:
    from collections.abc import Callable

    from mig.machine import Machine

PAGES = 6
PAGE = wire.page_header(PAGE_SIZE, None)
"""Head of the record of page 1, which does not name its block."""
RECORD = len(PAGE) + PAGE_SIZE
END = wire.section_part(wire.SECTION_END, 2)
VCPU = wire.section_start(wire.SECTION_FULL, 4, "vcpu", 0, 1)
EOF = wire.footer(5) + wire.eof()


@functools.cache
def whole() -> bytes:
    """The stream of a source of four pages with content and two of zeros, and two vCPUs."""
    machine = make(pages=PAGES, writes=0)
    for page in range(4):
        machine.ram.blocks()[0].array[page * PAGE_SIZE : (page + 1) * PAGE_SIZE] = 65 + page
    near, far = socket.socketpair()
    with contextlib.closing(machine), far:
        machine.start()
        migration = machine.migrate(near)
        stream = b"".join(iter(lambda: far.recv(1 << 20), b""))
        assert migration.join(WAIT)
    return stream


def receive(stream: bytes) -> tuple[Machine, Incoming]:
    """A destination that was sent this."""
    machine = make("destination", pages=PAGES)
    near, far = socket.socketpair()
    incoming = Incoming(machine, far)
    with contextlib.closing(machine):
        incoming.start()
        with near:
            near.sendall(stream)
            near.shutdown(socket.SHUT_WR)
            assert incoming.join(WAIT)
        assert machine.running is (incoming.state is State.COMPLETED)
    return machine, incoming


def place(part: bytes) -> int:
    """Where this is."""
    at = whole().index(part)
    assert at >= 0
    return at


def put(part: bytes, new: bytes, at: int = 0) -> bytes:
    """The stream with `new` over the bytes that begin `at` bytes after the beginning of `part`."""
    start = place(part) + at
    return whole()[:start] + new + whole()[start + len(new) :]


def without(part: bytes, size: int) -> bytes:
    """The stream without `size` bytes from `part` on."""
    start = place(part)
    return whole()[:start] + whole()[start + size :]


def twice(part: bytes, size: int) -> bytes:
    """The stream with `size` bytes from `part` on repeated."""
    start = place(part)
    return whole()[: start + size] + whole()[start:]


def claiming(change: Callable[[dict[str, dict[str, object]]], None]) -> bytes:
    """The stream with another claim."""
    start = place(EOF) + len(EOF)
    described = json.loads(whole()[start + 5 :])
    change(described["stage3"])
    return whole()[:start] + wire.vmdescription(json.dumps(described))


KINDS: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "stream ended in state header|ends inside header"),
    "cut in the header": (lambda: whole()[:5], "ends inside header"),
    "cut in a page": (lambda: whole()[: place(PAGE) + 99], "ends inside ram"),
    "cut after a section": (lambda: whole()[: place(END)], "ends inside section"),
    "cut in a device": (lambda: whole()[: place(VCPU) + 30], "ends inside section"),
    "cut before the end byte": (lambda: whole()[: place(EOF) + 5], "ends inside section"),
    "cut after the end byte": (lambda: whole()[: place(EOF) + 6], "state description"),
    "cut in the description": (lambda: whole()[:-1], "ends inside description"),
    "other magic": (lambda: put(b"QEVM", b"QFVM"), "not with 0x5145564d"),
    "other version": (lambda: put(b"QEVM", b"\2", 7), "stream version 2"),
    "other machine": (lambda: put(b"none", b"nope"), "the source is a 'nope'"),
    "length of the machine's name": (lambda: put(b"none", b"\xff", -4), "machine name of"),
    "other section type": (lambda: put(END, b"\x55"), "section type 0x55"),
    "other section id": (lambda: put(END, b"\x09", 4), "END of section 9"),
    "other live section": (lambda: put(b"\x03ram\0", b"rom", 1), "live section 'rom'"),
    "other version of RAM": (lambda: put(b"ram\0\0\0\0\0\0\0\4", b"\5", 10), "version 5"),
    "other footer": (lambda: put(wire.footer(4), b"\x7d"), "ends with 0x7d"),
    "footer of another": (lambda: put(wire.footer(4), b"\x06", 4), "0x7e 6, expected 0x7e 4"),
    "other block": (
        lambda: put(wire.zero_record(4 * PAGE_SIZE, "ram"), b"rim", 9),
        "RAM block 'rim'",
    ),
    "page beyond the block": (lambda: put(PAGE, b"\x7f", 5), "page at"),
    "page of unknown kind": (lambda: put(PAGE, b"\x21", 7), "flags 0x21"),
    "page missing": (lambda: without(PAGE, RECORD), "pages that never came: {'ram': 1}"),
    "page twice": (lambda: twice(PAGE, RECORD), "5 normal pages came, 4 were sent"),
    "page in another's place": (
        lambda: put(PAGE, (0 | wire.FLAG_PAGE | wire.FLAG_CONTINUE).to_bytes(8, "big")),
        "pages that never came",
    ),
    "pages exchanged": (
        lambda: put(PAGE, wire.page_header(2 * PAGE_SIZE, None)).replace(
            wire.page_header(2 * PAGE_SIZE, None) + b"C", PAGE + b"C"
        ),
        "is not what was sent",
    ),
    "flipped bit": (lambda: put(b"B" * PAGE_SIZE, b"\x43", 1000), "is not what was sent"),
    "zero page that is none": (
        lambda: put(wire.zero_record(5 * PAGE_SIZE, None), b"\1", 8),
        "filled with 0x01",
    ),
    "no end of RAM": (lambda: put(END, bytes((wire.SECTION_PART,))), "in state ram"),
    "RAM after its end": (
        lambda: whole()[: place(VCPU)] + END + wire.ram_eos() + wire.footer(2),
        "which is not open",
    ),
    "device missing": (
        lambda: without(VCPU, place(VCPU[:1] + b"\0\0\0\5") - place(VCPU)),
        "no state came for vcpu/0",
    ),
    "device twice": (
        lambda: twice(VCPU, place(VCPU[:1] + b"\0\0\0\5") - place(VCPU)),
        "comes twice",
    ),
    "other version of a device": (lambda: put(VCPU, b"\2", len(VCPU) - 1), "vcpu"),
    "no description": (lambda: whole()[: place(EOF) + 6], "state description"),
    "junk for a description": (
        lambda: whole()[: place(EOF) + 6] + b"\6\0\0\0\4junk",
        "is no JSON",
    ),
    "junk behind": (lambda: whole() + b"!", "follow the end of the stream"),
    "stream twice": (lambda: whole() * 2, "follow the end of the stream"),
    "claim of other counts": (
        lambda: claiming(lambda claim: claim["pages"].update(zero=9)),
        "2 zero pages came, 9 were sent",
    ),
    "claim of another content": (
        lambda: claiming(lambda claim: claim["blocks"].update(ram="0" * 32)),
        "is not what was sent",
    ),
    "claim of another block": (
        lambda: claiming(lambda claim: claim["blocks"].update(rom="0" * 32)),
        "RAM block 'rom'",
    ),
    "claim of no kind": (
        lambda: claiming(lambda claim: claim["pages"].clear()),
        "claim.pages.normal is 'None'",
    ),
    "length that is too long": (
        lambda: whole()[: place(EOF) + 6] + b"\6" + struct.pack(">I", 1 << 31),
        "a VM description of 2147483648 bytes",
    ),
}


def test_whole() -> None:
    """What is changed below is loaded when it is not changed."""
    _, incoming = receive(whole())
    assert (State.COMPLETED, None) == (incoming.state, incoming.error)
    assert {"normal": 4, "zero": 2, "delta": 0} == incoming.loader.pages()


@pytest.mark.parametrize("kind", KINDS)
def test_refused(kind: str) -> None:
    """One sentence that says what is wrong and what to do; nothing starts."""
    damage, words = KINDS[kind]
    stream = damage()
    assert stream != whole()
    _, incoming = receive(stream)
    text = str(incoming.error)
    assert State.FAILED is incoming.state
    assert re.search(words if "|" in words else re.escape(words), text), text
    assert "; " in text
    assert "\n" not in text
    assert len(text) < 400


def test_enough_kinds() -> None:
    """Thirty kinds and more."""
    assert 30 <= len(KINDS)
