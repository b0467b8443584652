"""Guests that come with the package: streams a real QEMU wrote.

Promises: what `load_sample` returns has the digests recorded beside it, stream and memory; anything
else raises `mig.image.ImageError`. Assumes: the package lies in the file system. Does not: fetch
anything.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Final, NamedTuple, cast

from mig import image

DATA: Final = pathlib.Path(__file__).parent / "data"
PC16_DIRTY_PLAIN: Final = "pc16-dirty-plain"
"""A 16 MiB `pc` guest that was dirtying memory while QEMU 7.2.22 migrated it to a file."""


class Sample(NamedTuple):
    """Where a sample lies and what must come out of it (digests in hexadecimal)."""

    name: str
    path: pathlib.Path
    stream_sha256: str
    ram_block: str
    ram_sha256: str


def sample(name: str = PC16_DIRTY_PLAIN, directory: pathlib.Path = DATA) -> Sample:
    """Describe sample `name`; raises `ImageError` when it is not there."""
    path = directory / f"{name}.mig.gz"
    try:
        facts = cast("dict[str, str]", json.loads(path.with_name(f"{name}.json").read_bytes()))
    except OSError as error:
        there = sorted(entry.name.removesuffix(".mig.gz") for entry in directory.glob("*.mig.gz"))
        what = f"no such sample ({error.strerror})"
        raise image.ImageError(name, what, f"choose one of {', '.join(there)}") from None
    return Sample(name, path, facts["stream_sha256"], facts["ram_block"], facts["ram_sha256"])


def load_sample(name: str = PC16_DIRTY_PLAIN, directory: pathlib.Path = DATA) -> image.GuestImage:
    """Read sample `name` and check both digests; raises `ImageError`."""
    facts = sample(name, directory)
    guest = image.load(facts.path, sha256=facts.stream_sha256)
    found = {block.name: hashlib.sha256(block.data).hexdigest() for block in guest.blocks}
    if found.get(facts.ram_block) != facts.ram_sha256:
        what = f"memory {facts.ram_block!r} has digest {found.get(facts.ram_block)}"
        raise image.ImageError(str(facts.path), what, f"expected {facts.ram_sha256}")
    return guest
