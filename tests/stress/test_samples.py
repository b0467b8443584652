"""The guest that comes with the package."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from mig import image
from stress import samples

if TYPE_CHECKING:
    import pathlib


def test_packaged_guest() -> None:
    """The packaged guest loads, with both digests right."""
    guest = samples.load_sample()
    assert guest.machine == "pc-i440fx-7.2"
    assert (guest.blocks[0].name, guest.blocks[0].length) == ("pc.ram", 16785408)
    assert len(guest.devices) == 30


def test_unknown_sample_lists_the_known() -> None:
    """An unknown name is refused with the names there are."""
    with pytest.raises(image.ImageError, match="choose one of pc16-dirty-plain"):
        samples.load_sample("pc17")


def test_damaged_sample_is_refused(tmp_path: pathlib.Path) -> None:
    """Another memory digest than recorded is refused."""
    facts = samples.sample()
    shutil.copy(facts.path, tmp_path)
    text = facts.path.with_name(f"{facts.name}.json").read_text()
    (tmp_path / f"{facts.name}.json").write_text(text.replace(facts.ram_sha256, "ab"))
    with pytest.raises(image.ImageError, match="expected ab"):
        samples.load_sample(directory=tmp_path)
