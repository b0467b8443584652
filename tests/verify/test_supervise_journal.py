"""Journals: written lines come back, anything else is refused by name."""

from __future__ import annotations

import fcntl
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from verify.supervise import Ended, Fate, Header, Journal, JournalError, Json, Task
from verify.supervise.journal import parse
from verify.supervise.wire import BadMessageError, Lines, batch, line, tasks_of

HEADER = Header("d1", {"seed": "7"})
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
ENDED = st.builds(
    Ended,
    st.builds(
        Task,
        st.integers(0, 2**40),
        st.integers(0, 2**40),
        st.dictionaries(st.text(max_size=3), VALUES, max_size=2),
    ),
    st.sampled_from(Fate),
    st.text(max_size=20),
    VALUES,
    st.integers(0, 1000).map(float),
    resumed=st.just(value=True),
)


def written(path: Path, *ended: Ended) -> bytes:
    with Journal.create(path, HEADER) as journal:
        for each in ended:
            journal.write(each)
    return path.read_bytes()


def other(**changed: Json) -> bytes:
    """Return the first line of a journal that is not quite ours."""
    ours: dict[str, Json] = {"program": "d1", "settings": {"seed": "7"}}
    return line({"format": "stage3-journal", "version": 1, **ours, **changed})


@settings(max_examples=25)
@given(st.lists(ENDED, max_size=4, unique_by=lambda ended: ended.task.number))
def test_round_trip(ended: list[Ended]) -> None:
    """What is written is what is remembered."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "j"
        written(path, *ended)
        with Journal.resume(path, HEADER) as journal:
            assert {each.task.number: each for each in ended} == journal.ended


@settings(max_examples=50)
@given(st.data())
def test_hostile_files(data: st.DataObject) -> None:
    """A file that was cut or changed is read or refused, never anything else."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "j"
        good = bytearray(
            written(path, Ended(Task(1, 1), Fate.CRASHED, "x"), Ended(Task(2, 2), Fate.PASSED))
        )
        for _ in range(data.draw(st.integers(0, 4))):
            good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
        cut = bytes(good[: data.draw(st.integers(0, len(good)))])
        with suppress(JournalError):
            _, ended = parse(path, cut)
            assert set(ended) == {each.task.number for each in ended.values()}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no journal of stage3"),
        (b"[1]\n", "is no journal of stage3"),
        (b'{"format": "stage3-journal", "version": 2}\n', "version 2, this stage3 reads 1"),
        (b'{"format": "stage3-journal", "version": 1, "program": 3}\n', "must be text"),
        (other(program="d2"), "digest d2, now d1"),
        (other(settings={"seed": "8"}), "seed 8, now it is 7"),
        (other(settings={}), "seed not given, now"),
    ],
)
def test_other_journals(tmp_path: Path, content: bytes, words: str) -> None:
    """Another program, version or setting is refused, with the difference and what to do."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(content)

    with pytest.raises(JournalError, match=words) as caught:
        Journal.resume(path, HEADER)

    assert "; " in str(caught.value)
    assert content == path.read_bytes()


@pytest.mark.parametrize(
    "wrong",
    [
        {"number": -1}, {"number": True}, {"number": 1.5}, {"number": 1 << 60}, {"seed": "x"}, {"fate": "lost"},
        {"fate": ["passed"]}, {"seconds": "1"}, {"seconds": 10**400}, {"seconds": float("inf")}, {"message": 1},
        {"what": 1},
    ],
)  # fmt: skip
def test_wrong_lines(tmp_path: Path, wrong: dict[str, Json]) -> None:
    """A line that says nothing usable is named by its number."""
    path = tmp_path / "j"
    good = written(path, Ended(Task(1, 1), Fate.PASSED))
    path.write_bytes(good + line({**json.loads(good.splitlines()[1]), "number": 2, **wrong}))

    with pytest.raises(JournalError, match="line 3"):
        Journal.resume(path, HEADER)


def test_another_run_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What another run wrote until its end, just before this one had the lock, is read and kept."""
    path = tmp_path / "j"
    first, second = (Ended(Task(number, 1), Fate.PASSED, resumed=True) for number in (1, 2))
    both = written(path, first, second)
    path.write_bytes(both[: both.rstrip().rindex(b"\n") + 1])
    take = fcntl.flock

    def lock(descriptor: int, how: int) -> None:
        path.write_bytes(both)
        take(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", lock)
    with Journal.resume(path, HEADER) as journal:
        assert {1: first, 2: second} == journal.ended
    assert both == path.read_bytes()


def test_files_that_cannot_be(tmp_path: Path) -> None:
    """Missing, taken, busy and special files are refused in one line."""
    path = tmp_path / "j"
    with pytest.raises(JournalError, match="No such file"):
        Journal.resume(path, HEADER)
    with Journal.create(path, HEADER), pytest.raises(JournalError, match="in use by another run"):
        Journal.resume(path, HEADER)
    with pytest.raises(JournalError, match="File exists"):
        Journal.create(path, HEADER)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(JournalError, match="no regular file"):
        Journal.resume(tmp_path / "pipe", HEADER)
    with pytest.raises(JournalError, match="Is a directory"):
        Journal.resume(tmp_path, HEADER)


@given(st.lists(ENDED, max_size=4), st.integers(1, 50))
def test_wire_in_pieces(ended: list[Ended], size: int) -> None:
    """Batches arrive whole, however the stream is cut."""
    tasks = [each.task for each in ended]
    stream = batch(tasks) + line({"alive": True})
    lines = Lines()
    messages = [m for at in range(0, len(stream), size) for m in lines.feed(stream[at : at + size])]

    assert [tasks, {"alive": True}] == [tasks_of(messages[0]), messages[1]]


@given(st.binary(max_size=40))
def test_wire_hostile(data: bytes) -> None:
    """What is no message is refused, and objects are let through."""
    lines = Lines()
    with suppress(BadMessageError):
        for message in lines.feed(data + b"\n"):
            assert isinstance(message, dict)
