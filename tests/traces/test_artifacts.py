"""What is kept of a failure: trace, page, and an index that names all."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.traces.values import deadlock, staged
from traces import artifacts, store
from traces.errors import TraceError
from traces.store import load, save

if TYPE_CHECKING:
    from pathlib import Path


def links(directory: Path) -> list[str]:
    return re.findall(r'href="\./([^"]*)"', (directory / "index.html").read_text())


def test_keep(tmp_path: Path) -> None:
    """The trace, its page and the index are there, and the index leads to both."""
    file = artifacts.keep(staged(), tmp_path / "out")
    shown = artifacts.page_of(file)
    assert staged() == load(file)
    assert "<title>deadlock: accounts:race</title>" in shown.read_text()
    assert [shown.name, file.name] == links(tmp_path / "out")
    expected = (f"trace:  stage3 trace show {file}", f"page:   {shown}")
    assert expected == artifacts.where(str(file))


def test_index_of_all(tmp_path: Path) -> None:
    """Pages of other kinds are listed by their titles, folders by their index, old traces as having no page."""
    artifacts.keep(staged(), tmp_path)
    old = save(deadlock(), tmp_path, kind="old")
    (tmp_path / "hang-7.html").write_text("<title>hang: deadlock</title>")
    (tmp_path / "hang-7.json").write_text("{}")
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "stress-1").mkdir()
    (tmp_path / "stress-1" / "index.html").write_text("<title>stage3 stress: bug found</title>")
    artifacts.write_index(tmp_path)
    found = {entry.path: (entry.verdict, entry.about) for entry in artifacts.list_all(tmp_path)}
    assert ("deadlock", "hang") == found["hang-7.html"]
    assert ("bug found", "stage3 stress") == found["stress-1/index.html"]
    assert ("", old.name) == found[old.name]
    assert "notes.json" not in found
    assert 4 == len(found)


def test_foreign_index(tmp_path: Path) -> None:
    """An index.html that stage3 did not write is left alone."""
    (tmp_path / "index.html").write_text("mine")
    artifacts.keep(staged(), tmp_path)
    assert "mine" == (tmp_path / "index.html").read_text()


def test_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another process adds while the index is written is in it all the same."""
    artifacts.keep(staged(), tmp_path)
    real, added = store.write_whole, tmp_path / "hang-9.html"

    def write(path: Path, text: str, what: str) -> None:
        if not added.exists():
            added.write_text("<title>hang: spin</title>")
        real(path, text, what)

    monkeypatch.setattr(store, "write_whole", write)
    artifacts.write_index(tmp_path)
    assert "hang-9.html" in links(tmp_path)


def test_hostile_names(tmp_path: Path) -> None:
    """Names of files become links that lead to them, whatever is in them."""
    name = "a\"><script>'&%3c #?.html"
    (tmp_path / name).write_text("<title>x: <b></title>")
    artifacts.write_index(tmp_path)
    text = (tmp_path / "index.html").read_text()
    assert "<script" not in text
    assert ["a%22%3E%3Cscript%3E%27%26%253c%20%23%3F.html"] == links(tmp_path)


def test_missing(tmp_path: Path) -> None:
    """A directory that is not there is named."""
    with pytest.raises(TraceError, match=r"gone: cannot be listed: .*; give a directory"):
        artifacts.write_index(tmp_path / "gone")
