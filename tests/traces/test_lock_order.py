"""Lock-order files and baselines: round trips, and refusals of hostile text."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traces import lock_baseline, lock_order
from traces.errors import TraceError
from traces.lock_baseline import Accepted
from traces.lock_order import (
    Cycle,
    Edge,
    EdgeKey,
    Graph,
    Link,
    LockClass,
    Mode,
    Notified,
    Outcome,
    Status,
    Wait,
    canonical,
    fingerprint,
)

NAMES = ("a (Lock)", "b (Lock)", "c (Lock)")
text = st.text(max_size=12)
count = st.integers(0, 2**40)
names = st.sampled_from(NAMES)
keys = st.builds(
    EdgeKey,
    names, names, st.sampled_from(list(Mode)), st.lists(names, max_size=2).map(tuple), st.booleans(), st.booleans(),
    st.booleans(),
)  # fmt: skip


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    edges = {
        key: Edge(
            key,
            tuple(draw(st.lists(text, max_size=3))),
            draw(text),
            draw(text),
            draw(count),
            (draw(text),),
        )
        for key in draw(st.lists(keys, max_size=5, unique=True))
    }
    cycles: dict[tuple[EdgeKey, ...], Cycle] = {}
    for key in edges:
        if key.before == key.after:
            links = (Link(draw(text), key.before, draw(text), key.after, draw(text)),)
            verdict = draw(st.sampled_from([lock_order.POTENTIAL, lock_order.SILENT]))
            cycles[key,] = Cycle((key,), verdict, draw(text), draw(text), links, True, draw(count))
    waits = {
        (name, "ready"): Wait(name, "ready", draw(text), draw(text), draw(count))
        for name in draw(st.lists(names, max_size=2, unique=True))
    }
    outcome = Outcome(
        fingerprint(NAMES), draw(st.sampled_from(list(Status))), draw(count), draw(text), draw(text), draw(text)
    )  # fmt: skip
    return Graph(
        runs=draw(count),
        classes={
            name: LockClass(name, draw(text), "Lock", draw(text), draw(text), 3, draw(count), draw(st.booleans()))
            for name in NAMES
        },
        edges=edges,
        cycles=cycles,
        waits=waits,
        notified={"ready": Notified("ready", NAMES[:1], draw(count))},
        outcomes={outcome.fingerprint: outcome},
        notes=tuple(draw(st.lists(text, max_size=2))),
    )  # fmt: skip


SAMPLE = Graph(
    runs=1,
    classes={name: LockClass(name, name[0], "Lock", "x.py", "f", 3, 1, False) for name in NAMES},
    edges={
        key: Edge(key, ("main",), "x.py:4 f", "x.py:5 f", 1)
        for key in (
            EdgeKey("a (Lock)", "b (Lock)", Mode.WAITS, (), True, False, False),
            EdgeKey("b (Lock)", "a (Lock)", Mode.WAITS, (), True, False, False),
        )
    },
)


@settings(max_examples=25)
@given(graphs())
def test_round_trip(graph: Graph) -> None:
    """What is written is read back as it was."""
    assert graph == lock_order.from_json(lock_order.to_json(graph))


@settings(max_examples=40)
@given(graphs(), st.data())
def test_changed_files_are_read_or_refused(graph: Graph, data: st.DataObject) -> None:
    """A file in which one value is another one is a graph or one error that names a field."""
    value = json.loads(lock_order.to_json(graph))
    part: Any = value
    while isinstance(part, dict | list) and part:
        at = data.draw(st.sampled_from(list(part) if isinstance(part, dict) else range(len(part))))
        inner = part[at]
        if not isinstance(inner, dict | list) or not inner or data.draw(st.booleans()):
            part[at] = data.draw(
                st.sampled_from([None, -1, 2**70, "x", [], {}, True, 1e9, [["a"]]])
            )
            break
        part = inner
    with suppress(TraceError):
        lock_order.from_json(json.dumps(value))


@given(st.text(max_size=60))
def test_any_text_is_refused(hostile: str) -> None:
    """Text that is no such file is one error."""
    for read in (lock_order.from_json, lock_baseline.from_json):
        with pytest.raises(TraceError):
            read(hostile)


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"version": 2}, "version"),
        ({"runs": -1}, "runs"),
        ({"classes": []}, "edges[0].key"),
        ({"cycles": [{"edges": [0], "verdict": "silent", "reason": "", "detail": "", "links": [], "objects": True,
            "count": 1}]}, "cycles[0].edges"),
        ({"cycles": [{"edges": [7], "verdict": "silent", "reason": "", "detail": "", "links": [], "objects": True,
            "count": 1}]}, "cycles[0].edges"),
    ],
)  # fmt: skip
def test_refusals_name_the_field(change: dict[str, object], culprit: str) -> None:
    """Each refusal says where."""
    value = {**json.loads(lock_order.to_json(SAMPLE)), **change}

    with pytest.raises(TraceError) as caught:
        lock_order.from_json(json.dumps(value))

    assert culprit == caught.value.culprit


OUTCOME = Outcome(fingerprint(NAMES), Status.NOT_REACHED, 5, "t", "", "")


@pytest.mark.parametrize("part", ["classes", "edges", "waits", "notified", "outcomes"])
def test_what_is_there_twice_is_refused(part: str) -> None:
    """A record that is told again, perhaps otherwise, is refused by its place."""
    full = replace(
        SAMPLE,
        waits={(NAMES[0], "ready"): Wait(NAMES[0], "ready", "x.py:6 f", "main", 1)},
        notified={"ready": Notified("ready", (), 1)},
        outcomes={OUTCOME.fingerprint: OUTCOME},
    )
    value = json.loads(lock_order.to_json(full))
    value[part].append(value[part][0])

    with pytest.raises(TraceError) as caught:
        lock_order.from_json(json.dumps(value))

    assert f"{part}[{len(value[part]) - 1}]" == caught.value.culprit


def test_a_circle_is_the_same_wherever_it_is_begun() -> None:
    """The name of a cycle does not depend on where it is begun, but on its direction."""
    one, other = SAMPLE.edges

    assert canonical((one, other)) == canonical((other, one))
    assert fingerprint("abc") == fingerprint("cab") != fingerprint("acb")


def test_baseline() -> None:
    """A baseline is read back as it was; its entries end after their last day."""
    entry = Accepted("0" * 16, "a -> b -> a", "the caller holds the gate", date(2027, 3, 31))
    for_ever = Accepted("1" * 16, "b -> c -> b", "as above", None)

    assert (entry, for_ever) == lock_baseline.from_json(lock_baseline.to_json((for_ever, entry)))
    assert entry.holds_on(date(2027, 3, 31))
    assert not entry.holds_on(date(2027, 4, 1))
    assert for_ever.holds_on(date(2099, 1, 1))


@pytest.mark.parametrize(
    ("change", "culprit"),
    [
        ({"fingerprint": "xyz"}, "accepted[0].fingerprint"),
        ({"reason": "  "}, "accepted[0].reason"),
        ({"expires": "tomorrow"}, "accepted[0].expires"),
        ({"expires": 5}, "accepted[0].expires"),
    ],
)
def test_baseline_refusals(change: dict[str, object], culprit: str) -> None:
    """An entry without a reason, or that cannot be read, is refused by name."""
    value = json.loads(lock_baseline.to_json((Accepted("0" * 16, "t", "why", None),)))
    value["accepted"][0].update(change)

    with pytest.raises(TraceError) as caught:
        lock_baseline.from_json(json.dumps(value))

    assert culprit == caught.value.culprit
