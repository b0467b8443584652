"""Snapshots: round trip, and what from_json refuses."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from verify.observe import snapshot
from verify.observe.snapshot import Snapshot, SnapshotError, from_json, to_json

texts = st.text(max_size=12)
wholes = st.integers(0, 2**64 - 1)
frames = st.builds(snapshot.Frame, texts, wholes, texts)
stacks = st.lists(frames, max_size=3).map(tuple)
waits = st.builds(snapshot.Wait, wholes, texts, wholes, st.none() | wholes, stacks)
holds = st.builds(snapshot.Hold, wholes, wholes, wholes, stacks)
threads = st.builds(
    snapshot.ThreadState, wholes, wholes, wholes, texts, texts, st.booleans(), st.booleans(), wholes,
    st.none() | wholes, wholes, wholes, st.none() | waits, st.lists(holds, max_size=2).map(tuple), texts,
)  # fmt: skip
optional = st.none() | wholes
notifies = st.builds(snapshot.Notify, wholes, wholes, wholes, stacks)
objects = st.builds(
    snapshot.ObjectState, wholes, texts, texts, st.none() | frames, optional, optional, optional, optional,
    st.none() | notifies,
)  # fmt: skip
entries = st.builds(
    snapshot.Entry, wholes, wholes, wholes, texts, wholes, st.none() | st.booleans(), frames
)
snapshots = st.builds(
    Snapshot, wholes, wholes, st.lists(texts, max_size=2).map(tuple), texts, wholes, wholes, wholes, st.booleans(),
    st.booleans(), st.lists(threads, max_size=2).map(tuple), st.lists(objects, max_size=2).map(tuple),
    st.lists(entries, max_size=2).map(tuple), st.dictionaries(texts, texts, max_size=2),
)  # fmt: skip
EMPTY = Snapshot(1, 2, (), "3.11.7", 3, 4, 5, True, False, (), (), ())


@pytest.mark.slow
@given(snapshots)
def test_round_trip(taken: Snapshot) -> None:
    """A snapshot survives its text."""
    assert taken == from_json(to_json(taken))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("pid", -1, "snapshot.pid: -1, wanted a whole number from 0"),
        ("pid", True, "snapshot.pid: True, wanted a whole number from 0"),
        ("argv", "x", "snapshot.argv: 'x', wanted a list of at most 100000"),
        ("argv", [1], "snapshot.argv[0]: 1, wanted text"),
        ("threads", [{}], "snapshot.threads[0].slot: missing; give a file stage3 wrote"),
        ("notes", {"a": 1}, "snapshot.notes.a: 1, wanted text"),
        ("version", 2, "version: 2, but this stage3 reads version 1"),
        ("extra", 2, "snapshot.extra: no such field; give a file stage3 wrote"),
        ("format", "x", 'snapshot: no "stage3-snapshot"; give a file stage3 wrote'),
    ],
)
def test_refusals(field: str, value: object, message: str) -> None:
    """Each refusal names the field, shows the value and says what was wanted."""
    text = json.dumps({**json.loads(to_json(EMPTY)), field: value})
    with pytest.raises(SnapshotError) as caught:
        from_json(text)
    assert message == str(caught.value)


def test_missing_field() -> None:
    """A field that is missing is named."""
    value = json.loads(to_json(EMPTY))
    del value["ring"]
    with pytest.raises(SnapshotError, match=r"snapshot\.ring: missing"):
        from_json(json.dumps(value))


@given(st.text(max_size=50) | st.binary(max_size=50).map(lambda data: data.decode("latin-1")))
def test_any_text(text: str) -> None:
    """Text from anywhere is refused in words."""
    with pytest.raises(SnapshotError):
        from_json(text)


def test_look_up() -> None:
    """A thread and an object are found by number, and nothing by None."""
    thing = snapshot.ObjectState(7, "Lock", "a", None, None, None, None, None, None)
    taken = Snapshot(1, 2, (), "3", 3, 4, 5, True, False, (), (thing,), ())
    assert (thing, None, None) == (taken.object(7), taken.object(None), taken.thread(1))
