"""Trace files: whole or absent, named by content, hostile until parsed."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.traces.values import deadlock
from traces import store
from traces.schema import Schedule, TraceError, to_json
from traces.store import list_files, load, save

if TYPE_CHECKING:
    from pathlib import Path

NAME = "explore-race-deadlock-"
NO_TRACE = "give a trace file: stage3 trace ls shows them"


def error_of(path: Path) -> str:
    """Return what loading `path` says, with the path written FILE."""
    with pytest.raises(TraceError) as caught:
        load(path)
    return str(caught.value).replace(str(path), "FILE")


def test_save_and_load(tmp_path: Path) -> None:
    """A stored trace is loaded equal, from a directory that save made, and is listed."""
    path = save(deadlock(), tmp_path / "a" / "b")
    assert deadlock() == load(path)
    assert path.name.startswith(NAME)
    assert (path,) == list_files(tmp_path / "a" / "b")


def test_names(tmp_path: Path) -> None:
    """The same trace has one file, another trace another; a passing run says so."""
    other = replace(deadlock(), seed=8)
    passed = replace(deadlock(), failure=None)
    paths = [save(trace, tmp_path) for trace in (deadlock(), deadlock(), other)]
    assert paths[0] == paths[1] != paths[2]
    assert save(passed, tmp_path, kind="hunt").name.startswith("hunt-race-passed-")
    assert 3 == len(list_files(tmp_path))


@pytest.mark.parametrize(
    ("target", "word"),
    [
        ("../../etc/passwd:../f", "f"),
        ("m:a\nb\x1b[0m", "a-b-0m"),
        ("m:f?design=x&vcpus=2", "f-x-2"),
        ("...", "unnamed"),
        ("x" * 500, "x" * 60),
    ],
)
def test_hostile_target(tmp_path: Path, target: str, word: str) -> None:
    """A target with any characters becomes one plain file name inside the directory."""
    program = replace(deadlock().program, target=target)
    path = save(replace(deadlock(), program=program), tmp_path)
    assert path.name.startswith(f"explore-{word}-deadlock-")
    assert [path] == list(tmp_path.iterdir())


def test_beyond_bounds(tmp_path: Path) -> None:
    """A trace that could not be loaded is not written."""
    with pytest.raises(TraceError) as caught:
        save(replace(deadlock(), schedule=Schedule((-1,))), tmp_path)
    assert "schedule.choices[0]" == caught.value.culprit
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_disk_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    """A write that fails half-way leaves nothing behind and names the directory."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    place = "os.fsync" if broken == "fsync" else "pathlib.Path.replace"
    monkeypatch.setattr(place, full)
    with pytest.raises(TraceError) as caught:
        save(deadlock(), tmp_path)
    assert str(tmp_path) == caught.value.culprit
    assert "cannot write a trace: No space left on device" == caught.value.problem
    assert [] == list(tmp_path.iterdir())


def test_directory_is_a_file(tmp_path: Path) -> None:
    """A directory that is none is named, with what to do."""
    place = tmp_path / "out"
    place.write_text("kept")
    with pytest.raises(TraceError) as caught:
        save(deadlock(), place)
    expected = f"{place}: cannot write a trace: File exists; make it a writable directory"
    assert str(caught.value).startswith(expected)
    assert "kept" == place.read_text()


def test_load_refusals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing, no regular file, no text, too large or no trace is named as such."""
    file = tmp_path / "t.json"
    assert f"FILE: cannot be read: No such file or directory; {NO_TRACE}" == error_of(file)
    file.mkdir()
    assert f"FILE: is not a regular file; {NO_TRACE}" == error_of(file)
    file.rmdir()
    os.mkfifo(file)
    assert f"FILE: is not a regular file; {NO_TRACE}" == error_of(file)
    file.unlink()
    file.write_bytes(b"ab\xff")
    assert f"FILE: byte 2 is not UTF-8: this is no text file; {NO_TRACE}" == error_of(file)
    file.write_text(to_json(deadlock()).replace('"seed": 7', '"seed": "7"'))
    assert error_of(file).startswith("FILE: seed: '7' is not a whole number; ")
    monkeypatch.setattr(store, "MOST_CHARACTERS", 10)
    assert f"FILE: has more than 10 bytes; {NO_TRACE}" == error_of(file)


def test_null_character(tmp_path: Path) -> None:
    """A path that no system can have is an error of ours, not of Python's."""
    with pytest.raises(TraceError, match="is no file name"):
        load(tmp_path / "a\0b")


def test_list(tmp_path: Path) -> None:
    """Only finished trace files are listed, by name; a missing directory is named."""
    for name in ("b.json", "a.json", ".c.json", "d.json.part", "e.txt"):
        (tmp_path / name).touch()
    assert ["a.json", "b.json"] == [path.name for path in list_files(tmp_path)]
    with pytest.raises(TraceError, match="missing: cannot be listed: No such file or directory"):
        list_files(tmp_path / "missing")
