"""What one side of a migration between stage3s counts and digests of RAM, and what it claims to the other.

Promises: `RamChecks` of both sides are equal exactly when the same records came in the same order into the
same blocks: every page, zero, and delta with its place. `parse` reads an untrusted claim, bounded, or raises
`ClaimError`. A record's digest does not depend on whether it names its block or on how records are gathered.
Assumes: damage and faults, not forgery: the digest (XXH3-128) is fast, and no signature.
Does not: say which page differs; a block's digest says which block.

A claim is JSON: in the VM description under the key "stage3" (QEMU and its analyze-migration script read
what they know and leave it), and, where the destination answered that it is a stage3, in commands before
the devices, so that it can check everything before it says that it is ready.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, NamedTuple

import xxhash

from mig import wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KEY: Final = "stage3"
"""Where a claim stands in a VM description."""
VERSION: Final = 1
KINDS: Final = ("normal", "zero", "delta")
"""How pages are sent."""
MAX_TEXT: Final = 4 << 20
"""Bytes of a claim that came in commands."""
_WORD: Final = 8
_MOST: Final = (1 << 63) - 1
_DIGEST: Final = 32
_REMEDY: Final = "migrate between equal versions of stage3"


class ClaimError(ValueError):
    """A claim that cannot be read."""


class RamChecks:
    """Digest of each block, fed with its records in the order of the stream, and what was counted."""

    def __init__(self, names: Iterable[str]) -> None:
        self._hashes = {name: xxhash.xxh3_128() for name in names}

    def named(self, block: str, record: bytes) -> None:
        """The first bytes of a record that names its block: word, counted name, and what follows."""
        word = int.from_bytes(record[:_WORD], "big") | wire.FLAG_CONTINUE
        self._hashes[block].update(word.to_bytes(_WORD, "big"))
        self._hashes[block].update(record[_WORD + 1 + record[_WORD] :])

    def records(self, block: str, data: bytes | memoryview) -> None:
        """Whole records, or a record's next bytes, that do not name the block."""
        self._hashes[block].update(data)

    def record(self, block: str, offset: int, flag: int, body: bytes | memoryview) -> None:
        """One record: place in bytes, kind, and the bytes after word and name."""
        hashed = self._hashes[block]
        hashed.update((offset | flag | wire.FLAG_CONTINUE).to_bytes(_WORD, "big"))
        hashed.update(body)

    def sent(self, block: str, made: list[bytes], *, names: bool) -> None:
        """Pieces of records of one block; `names`: the first record names it."""
        for at, piece in enumerate(made):
            if names and at == 0:
                self.named(block, piece)
            else:
                self.records(block, piece)

    def digests(self) -> dict[str, str]:
        """Digest of each block so far, in hexadecimal."""
        return {name: hashed.hexdigest() for name, hashed in self._hashes.items()}


class Section(NamedTuple):
    """A device section to come, and the bytes of its body."""

    name: str
    instance: int
    version: int
    size: int


class Claim(NamedTuple):
    """What the source says that it sent."""

    pages: Mapping[str, int]
    """Number of pages of each of `KINDS`."""
    digests: Mapping[str, str]
    """Of each block."""
    devices: tuple[Section, ...] = ()
    """In the order of the stream; empty in a VM description, which says so by itself."""

    def values(self) -> dict[str, object]:
        """As JSON values."""
        made: dict[str, object] = {
            "version": VERSION,
            "pages": dict(self.pages),
            "blocks": dict(self.digests),
        }
        if self.devices:
            made["devices"] = [list(section) for section in self.devices]
        return made

    def text(self) -> bytes:
        """As JSON text."""
        return json.dumps(self.values()).encode()

    def differences(self, pages: Mapping[str, int], digests: Mapping[str, str]) -> str | None:
        """What is claimed and did not come, in words; None when all did."""
        for kind in KINDS:
            if self.pages[kind] != pages[kind]:
                return f"{pages[kind]} {kind} pages came, {self.pages[kind]} were sent"
        for name in sorted(self.digests.keys() | digests.keys()):
            sent, came = self.digests.get(name), digests.get(name)
            if sent != came:
                return f"what came of RAM block {name!r} is not what was sent (digest {came}, not {sent})"
        return None


def _wrong(path: str, value: object, wanted: str) -> ClaimError:
    return ClaimError(f"{path} is {str(value)[:40]!r}, expected {wanted}; {_REMEDY}")


def _mapping(value: object, path: str) -> dict[str, object]:
    if not isinstance(value, dict) or len(value) > wire.Limits().blocks:
        raise _wrong(path, value, "an object")
    return value


def _number(value: object, path: str, most: int = _MOST) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise _wrong(path, value, f"a number from 0 to {most}")
    return value


def _digest(value: object, path: str) -> str:
    if not isinstance(value, str) or len(value) != _DIGEST or not value.isascii():
        raise _wrong(path, value, f"{_DIGEST} hexadecimal digits")
    return value


def _section(value: object, path: str) -> Section:
    if not isinstance(value, list) or len(value) != len(Section._fields):
        raise _wrong(path, value, "name, instance, version and size")
    name, instance, version, size = value
    if not isinstance(name, str) or not 0 < len(name.encode(errors="replace")) <= wire.NAME_MAX:
        raise _wrong(f"{path}[0]", name, f"a name of 1 to {wire.NAME_MAX} bytes")
    return Section(
        name,
        _number(instance, f"{path}[1]", 0xFFFFFFFF),
        _number(version, f"{path}[2]", 0xFFFFFFFF),
        _number(size, f"{path}[3]", wire.Limits().device_body),
    )


def of_values(value: object) -> Claim:
    """The claim that these JSON values are; raises `ClaimError`."""
    top = _mapping(value, "claim")
    if top.get("version") != VERSION:
        raise _wrong("claim.version", top.get("version"), str(VERSION))
    pages = _mapping(top.get("pages"), "claim.pages")
    blocks = _mapping(top.get("blocks"), "claim.blocks")
    devices = top.get("devices", [])
    if not isinstance(devices, list) or len(devices) > wire.Limits().blocks:
        raise _wrong("claim.devices", devices, "a list")
    return Claim(
        {kind: _number(pages.get(kind), f"claim.pages.{kind}") for kind in KINDS},
        {name: _digest(digest, f"claim.blocks[{name[:40]!r}]") for name, digest in blocks.items()},
        tuple(_section(entry, f"claim.devices[{at}]") for at, entry in enumerate(devices)),
    )


def parse(text: bytes) -> Claim:
    """The claim that is this JSON text; raises `ClaimError`."""
    return of_values(_json(text))


def in_description(text: bytes) -> Claim | None:
    """The claim in the text of a VM description; None where it is from another program. Raises `ClaimError`."""
    top = _json(text)
    if not isinstance(top, dict) or KEY not in top:
        return None
    return of_values(top[KEY])


def _json(text: bytes) -> object:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ClaimError(f"a claim of {len(text)} bytes is no JSON: {error}; {_REMEDY}") from None
    return value
