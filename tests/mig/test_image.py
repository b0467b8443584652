"""Guest memory from files: QEMU's streams, raw images, and files that are neither."""

from __future__ import annotations

import gzip
import hashlib
import json
import pathlib
from typing import TYPE_CHECKING

import pytest

from mig import image, wire

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = pathlib.Path(__file__).parents[1] / "data"
PACKAGED = DATA.parents[1] / "stress" / "data"
PAGE = wire.PAGE_BYTES


@pytest.mark.parametrize(
    "path",
    [
        PACKAGED / "pc16-dirty-plain.mig.gz",
        DATA / "none16-paused.mig.gz",
        DATA / "pc16-dirty-xbzrle.mig.gz",
        DATA / "microvm16-paused.mig.gz",
        DATA / "pc16-paused.mig.gz",
    ],
    ids=lambda path: path.name,
)
def test_memory_of_a_real_guest(path: pathlib.Path) -> None:
    """RAM from QEMU's stream has the digest that QEMU's own destination had; devices stay whole."""
    facts = json.loads(path.with_name(path.name.replace(".mig.gz", ".json")).read_text())
    sections = json.loads((DATA / path.name.replace(".mig.gz", ".sections.json")).read_text())
    guest = image.load(path, sha256=facts["stream_sha256"])
    ram = {block.name: block for block in guest.blocks}
    assert hashlib.sha256(ram[facts["ram_block"]].data).hexdigest() == facts["ram_sha256"]
    assert {name: block.length for name, block in ram.items()} == facts["blocks"]
    assert (guest.machine, guest.stream_bytes) == (facts["machine"], facts["stream_bytes"])
    found = [(device.name, device.instance, len(device.body)) for device in guest.devices]
    wanted = [
        (name, number, size - 19 - len(name)) for name, number, _, _, size in sections["full"]
    ]
    assert found == wanted


def stream(*records: bytes, kind: wire.Section = wire.SECTION_END, pages: int = 2) -> bytes:
    """A stream of one block `ram` with one section of these records."""
    return b"".join(
        [
            wire.header(),
            wire.configuration("none"),
            wire.section_start(wire.SECTION_START, 2, "ram", 0, 4),
            wire.ram_setup(pages * PAGE, [("ram", pages * PAGE)]),
            wire.ram_eos(),
            wire.footer(2),
            wire.section_part(kind, 2),
            *records,
            wire.ram_eos(),
            wire.footer(2),
        ]
    )


TAIL = wire.eof() + wire.vmdescription('{"page_size": 4096, "devices": []}')
FULL = (wire.zero_record(0, "ram"), wire.page_header(PAGE, None), b"\x01" * PAGE)


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_raw_image(tmp_path: pathlib.Path, pack: Callable[[bytes], bytes]) -> None:
    """A raw image becomes one block of that content."""
    path = tmp_path / "ram"
    path.write_bytes(pack(b"\x05" * 3 * PAGE))
    guest = image.load(path)
    assert (guest.machine, guest.devices, guest.ram_bytes) == ("none", (), 3 * PAGE)
    assert guest.blocks == (image.ImageBlock("ram", 3 * PAGE, bytearray(b"\x05" * 3 * PAGE)),)


def test_pages_zero_and_delta(tmp_path: pathlib.Path) -> None:
    """Later records win: content, then zeros, then a delta."""
    path = tmp_path / "guest"
    again = (wire.zero_record(PAGE, None), wire.xbzrle_record(PAGE, None, b"\x02\x01\x09"))
    path.write_bytes(stream(*FULL, *again) + TAIL)
    ram = image.load(path).blocks[0].data
    assert ram == bytes(PAGE) + b"\0\0\x09" + bytes(PAGE - 3)


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("a.mig", b"", "cut short"),
        ("a.mig", b"QEVX" + bytes(PAGE), "begins with 0x51455658"),
        ("a.mig.gz", gzip.compress(bytes(PAGE)), "begins with 0x00000000"),
        ("a", b"", "raw image of 0 bytes"),
        ("a", bytes(PAGE + 1), "raw image of 4097 bytes"),
        ("a", bytes(65 * PAGE), "more than 262144 bytes of RAM"),
        ("a.gz", gzip.compress(bytes(PAGE))[:-9], "damaged or cut short"),
        ("a.gz", b"\x1f\x8b" + bytes(PAGE), "damaged or cut short"),
        ("a", stream(*FULL) + TAIL[:-1], "cut short"),
        ("a", stream(*FULL) + wire.eof(), "no VM description"),
        ("a", stream(*FULL, kind=wire.SECTION_PART) + TAIL, "no RAM end"),
        ("a", stream(*FULL[:1]) + TAIL, "pages never sent: {'ram': 1}"),
        ("a", stream(pages=65) + TAIL, "266240 bytes of RAM, the limit is 262144"),
        ("a", stream(wire.xbzrle_record(0, "ram", b"")) + TAIL, "did not come before"),
        ("a", stream(*FULL, wire.xbzrle_record(0, None, b"\x01")) + TAIL, "page 0x0 of 'ram'"),
        ("a", wire.header() + wire.configuration("x") + wire.command(2, bytes(4)), "command 2"),
    ],
)
def test_unusable_files_are_refused(
    tmp_path: pathlib.Path, name: str, content: bytes, what: str
) -> None:
    """Every unusable file gives one error with its path and what is wrong."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(image.ImageError) as caught:
        image.load(path, max_ram=64 * PAGE)
    assert f"{what}" in str(caught.value)
    assert str(caught.value).startswith(f"image {path}: ")


def test_unreadable_paths_are_refused(tmp_path: pathlib.Path) -> None:
    """A missing file and a directory are refused with the system's reason."""
    with pytest.raises(image.ImageError, match="No such file"):
        image.load(tmp_path / "none")
    with pytest.raises(image.ImageError, match="Is a directory"):
        image.load(tmp_path)


def test_digest_is_compared(tmp_path: pathlib.Path) -> None:
    """A file with another digest than expected is refused."""
    path = tmp_path / "ram"
    path.write_bytes(bytes(PAGE))
    right = hashlib.sha256(bytes(PAGE)).hexdigest()
    assert image.load(path, sha256=right).ram_bytes == PAGE
    with pytest.raises(image.ImageError, match=f"digest is {right}, expected 00"):
        image.load(path, sha256="00")


def test_multifd_channel_is_refused(tmp_path: pathlib.Path) -> None:
    """The file of an additional multifd channel is refused with the capability to leave out."""
    path = tmp_path / "channel.mig"
    path.write_bytes(b"\x11\x22\x33\x44\0\0\0\x01" + bytes(56))
    with pytest.raises(image.ImageError, match="without the multifd capability"):
        image.load(path)
