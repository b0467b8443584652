"""The trace file format: round trips, exact errors, and texts that were made to hurt."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.traces.values import deadlock, explained, traces
from traces.schema import FORMAT, VERSION, TraceError, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from traces.schema import Trace

RECORD_AGAIN = "the file was not written by stage3 or has been edited: record the trace again"
WHOLE = json.loads(to_json(explained()))


def refusal(change: Callable[[dict[str, Any]], object]) -> TraceError:
    """Return the error for the deadlock's file after `change`."""
    value = copy.deepcopy(WHOLE)
    change(value)
    with pytest.raises(TraceError) as caught:
        from_json(json.dumps(value))
    return caught.value


def put(*path: str | int, value: object) -> Callable[[dict[str, Any]], object]:
    """Return a change that sets the value at `path`."""

    def change(top: Any) -> None:
        for name in path[:-1]:
            top = top[name]
        top[path[-1]] = value

    return change


def usable_or_refused(text: str) -> bool:
    """Return whether `text` is a trace that round-trips, or is refused with culprit and remedy."""
    try:
        trace = from_json(text)
    except TraceError as error:
        return all((error.culprit, error.problem, error.remedy))
    return trace == from_json(to_json(trace))


def test_files_without_explanations() -> None:
    """A file written before traces were shrunk and explained is read as one that nobody explained."""
    value = copy.deepcopy(WHOLE)
    del value["shrunk"], value["explanation"]

    assert deadlock() == from_json(json.dumps(value))


def test_critical_pair_elsewhere() -> None:
    """A critical pair that is none of the orders is refused."""
    error = refusal(put("explanation", "critical", value=2))

    assert ("explanation.critical", "2 is not a place among 2 orders") == (
        error.culprit,
        error.problem,
    )


@settings(max_examples=25)
@given(traces)
def test_round_trip(trace: Trace) -> None:
    """Any trace comes back equal from its JSON, and the JSON is the same again."""
    text = to_json(trace)
    again = from_json(text)
    assert trace == again
    assert text == to_json(again)


def test_layout() -> None:
    """The file is ASCII, says format and version first, and has a line for each step."""
    lines = to_json(deadlock()).splitlines()
    assert [f' "format": "{FORMAT}",', f' "version": {VERSION},'] == lines[1:3]
    assert 6 == sum(line.startswith('  {"index"') for line in lines)
    assert to_json(deadlock()).isascii()


@pytest.mark.parametrize(
    ("change", "culprit", "problem"),
    [
        (put("seed", value=True), "seed", "True is not a whole number"),
        (put("seed", value=-1), "seed", f"-1 is not between 0 and {2**64 - 1}"),
        (put("seed", value="7"), "seed", "'7' is not a whole number"),
        (put("strategy", value=None), "strategy", "None is not a string"),
        (put("strategy", value="x" * 65537), "strategy", "has 65537 characters, at most 65536"),
        (put("steps", value={}), "steps", "an object of 0 is not a list"),
        (put("steps", 2, value=[1, 2]), "steps[2]", "a list of 2 is not an object"),
        (put("steps", 3, "time", value=-1.0), "steps[3].time", "between 0 and"),
        (put("steps", 3, "time", value="1"), "steps[3].time", "'1' is not a number of seconds"),
        (put("steps", 3, "switch", value=1), "steps[3].switch", "1 is not true or false"),
        (put("steps", 3, "choice", value=1.0), "steps[3].choice", "1.0 is not a whole number"),
        (put("steps", 3, "index", value=4), "steps[3].index", "4 is not 3, its place in the list"),
        (put("steps", 3, "extra", value=1), "steps[3]", "unknown field 'extra'"),
        (put("extra", value=1), "trace", "unknown field 'extra'"),
        (put("tasks", 1, "stack", 0, "line", value=None), "tasks[1].stack[0].line", "None is not"),
        (put("tasks", 1, "held", 0, "name", value=3), "tasks[1].held[0].name", "3 is not a string"),
        (put("titles", value=[]), "titles", "a list of 0 is not an object of strings"),
        (put("titles", "a", value=1), "titles['a']", "1 is not a string"),
        (put("failure", "cycle", 1, value=1), "failure.cycle[1]", "1 is not a string"),
        (put("program", "digest", value="xyz"), "program.digest", "'xyz' is not 16 to 128"),
        (put("program", "python", value="three"), "program.python", "'three' is not a version"),
        (put("program", "granularity", value="a b"), "program.granularity", "'a b' is not 1 to"),
        (put("schedule", "choices", 0, value=2**64), "schedule.choices[0]", "is not between"),
        (
            put("schedule", "choices", value=[0] * 1_000_001),
            "schedule.choices",
            "has 1000001 elements, at most 1000000",
        ),
        (
            put("program", "options", value={str(i): "" for i in range(10_001)}),
            "program.options",
            "has 10001 entries, at most 10000",
        ),
    ],
)
def test_field(change: Callable[[dict[str, Any]], object], culprit: str, problem: str) -> None:
    """A field of the wrong type or size is refused by its path, its value shown."""
    error = refusal(change)
    assert culprit == error.culprit
    assert problem in error.problem
    assert RECORD_AGAIN == error.remedy


def test_missing() -> None:
    """A missing field is named."""
    error = refusal(lambda top: top["steps"][1].pop("site"))
    assert f"steps[1].site: is missing; {RECORD_AGAIN}" == str(error)


@pytest.mark.parametrize("version", [2, 0, True, "1", None])
def test_version(version: object) -> None:
    """Another version is refused with what to do, before any field is looked at."""
    error = refusal(put("version", value=version))
    assert "version" == error.culprit
    assert f"{version!r}, but this stage3 reads version 1" == error.problem
    assert "use the stage3 that wrote it, or record it again" == error.remedy


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "not JSON at line 1, column 1: Expecting value"),
        ("{\n1", "not JSON at line 2, column 1"),
        ('{"a": NaN}', "NaN is not a number JSON knows"),
        ('{"a": -Infinity}', "-Infinity is not a number JSON knows"),
        ('{"a": 1, "b": 2, "b": 3}', "names 'b' twice in one object"),
        ("[" * 100_000, "is nested too deeply"),
        ("1" * 5_000, "Exceeds the limit"),
        ("[]", 'this is not a "stage3-trace" file'),
        ('{"format": "other"}', 'this is not a "stage3-trace" file'),
    ],
)
def test_not_a_trace(text: str, problem: str) -> None:
    """Text that is no trace at all is refused in one sentence."""
    with pytest.raises(TraceError) as caught:
        from_json(text)
    assert problem in caught.value.problem


def test_nested_value() -> None:
    """A deep list where a string is expected is refused without being printed."""
    value: object = 1
    for _ in range(300):
        value = [value]
    error = refusal(put("strategy", value=value))
    assert "a list of 1 is not a string" == error.problem


def test_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text beyond the bound is refused before it is parsed."""
    monkeypatch.setattr("traces.schema.MOST_CHARACTERS", 10)
    with pytest.raises(TraceError) as caught:
        from_json("?" * 11)
    assert "has 11 characters, at most 10" == caught.value.problem


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(scalars, lambda s: st.lists(s, max_size=2) | st.dictionaries(st.text(), s))


@settings(max_examples=40)
@given(st.data())
def test_fuzz_fields(data: st.DataObject) -> None:
    """A file with one value replaced by anything is either a trace or a `TraceError`."""
    top = copy.deepcopy(WHOLE)
    place: Any = top
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        inner = place[key]
        if not isinstance(inner, (dict, list)) or not inner or data.draw(st.booleans()):
            break
        place = inner
    place[key] = data.draw(values)
    text = json.dumps(top)
    assert usable_or_refused(text)


@settings(max_examples=60)
@given(st.data())
def test_fuzz_text(data: st.DataObject) -> None:
    """A file cut, doubled or spoilt in one place is either a trace or a `TraceError`."""
    text = to_json(deadlock())
    at = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(at, min(at + 40, len(text))))
    spoilt = text[:at] + data.draw(st.text(max_size=3)) + text[end:]
    assert usable_or_refused(spoilt)


def test_immutable() -> None:
    """A trace cannot be changed, only replaced."""
    trace = deadlock()
    with pytest.raises(AttributeError):
        trace.seed = 8  # type: ignore[misc]
    assert 8 == replace(trace, seed=8).seed
