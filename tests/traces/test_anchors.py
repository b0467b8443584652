"""Anchors in trace files: whole again after writing, refused by field where they do not fit."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.traces.values import deadlock
from traces.anchors import Anchors, Mark, Place, Track
from traces.errors import TraceError
from traces.schema import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable

texts = st.text(max_size=8)
places = st.builds(Place, texts, texts, texts, texts, texts)
pairs = st.lists(st.tuples(st.just(0), st.integers(0, 1)), max_size=4).map(tuple)
anchored = st.builds(
    Anchors,
    st.just(1),
    st.tuples(places, places),
    st.tuples(st.builds(Track, texts, texts, st.integers(0, 2**64 - 1))),
    pairs,
    pairs,
    st.lists(places, max_size=2).map(tuple),
)
SMALL = Anchors(
    1,
    (Place("move", "with first :", "Lock.acquire", "savings", "savings = Lock ( )"),),
    (Track("main", "main", 0),),
    ((0, 0), (0, 0)),
    ((0, 0),),
    (),
)


@given(anchored)
def test_round_trip(anchors: Anchors) -> None:
    """What is written is read again."""
    trace = replace(deadlock(), anchors=anchors)

    assert trace == from_json(to_json(trace))


def test_occurrences() -> None:
    """The steps, then the ends, each know the how-manieth of its thread and place it is."""
    assert (Mark(0, 0, 0), Mark(0, 0, 1), Mark(0, 0, 2)) == SMALL.marks()


def test_earlier_file() -> None:
    """A file from before there were anchors has none."""
    value = json.loads(to_json(deadlock()))
    del value["anchors"]

    assert None is from_json(json.dumps(value)).anchors


CHANGES: list[tuple[Callable[[dict[str, Any]], object], str]] = [
    (lambda a: a.update(version=2), "anchors.version"),
    (lambda a: a["steps"].append([1, 0]), "anchors.steps[2][0]"),
    (lambda a: a["steps"].append([0, 1]), "anchors.steps[2][1]"),
    (lambda a: a["ends"].append([0]), "anchors.ends[1]"),
    (lambda a: a.update(ends=["00"]), "anchors.ends[0]"),
    (lambda a: a["places"][0].pop("line"), "anchors.places[0].line"),
    (lambda a: a["tracks"][0].update(rank=-1), "anchors.tracks[0].rank"),
    (lambda a: a.update(shown=None), "anchors.shown"),
    (lambda a: a.update(lines=[]), "anchors"),
]


@pytest.mark.parametrize(("change", "culprit"), CHANGES)
def test_refused(change: Callable[[dict[str, Any]], object], culprit: str) -> None:
    """What does not fit is refused by the name of its field."""
    value = json.loads(to_json(replace(deadlock(), anchors=SMALL)))
    change(value["anchors"])

    with pytest.raises(TraceError) as caught:
        from_json(json.dumps(value))
    assert culprit == caught.value.culprit


@given(st.data())
def test_fuzz(data: st.DataObject) -> None:
    """Whatever stands for a field of anchors, it is read or refused."""
    value = json.loads(to_json(replace(deadlock(), anchors=SMALL)))
    name = data.draw(st.sampled_from(sorted(value["anchors"])))
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
    value["anchors"][name] = data.draw(
        st.recursive(
            leaves,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
        )
    )

    try:
        trace = from_json(json.dumps(value))
    except TraceError:
        return
    assert trace == from_json(to_json(trace))
