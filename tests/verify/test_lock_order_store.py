"""Lock-order files on disk: merging takes turns, nothing is half written, odd files are refused."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from traces.errors import TraceError
from verify.lock_order import store

from . import lock_order_cases as cases
from .test_lock_order import graph_of


def test_writers_take_turns(tmp_path: Path) -> None:
    """Many that merge into one file at a time lose nothing, and leave nothing behind."""
    graph, file = graph_of(cases.only_ab, 1), tmp_path / "deep" / "order.json"
    threads = [threading.Thread(target=store.merge_into, args=(file, graph)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 8 == store.load(file).runs
    assert [file] == list(file.parent.iterdir())


def test_odd_files_are_refused(tmp_path: Path) -> None:
    """A directory, a pipe, binary text and a name with a null: one error that names it, and no wait."""
    pipe, binary = tmp_path / "pipe", tmp_path / "binary"
    os.mkfifo(pipe)
    binary.write_bytes(b"\xff\xfe")

    for path in (tmp_path, pipe, binary, Path("a\0b")):
        with pytest.raises(TraceError) as caught:
            store.load(path)
        assert ascii(str(path))[1:-1] in caught.value.culprit


def test_a_file_in_the_way_stays(tmp_path: Path) -> None:
    """What is no lock-order file is not written over."""
    file = tmp_path / "order.json"
    file.write_text("mine")

    with pytest.raises(TraceError):
        store.merge_into(file, graph_of(cases.only_ab, 1))

    assert "mine" == file.read_text()
