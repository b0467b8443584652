"""What stands between the steps: read strictly, within the run, and recorded as it was."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.traces.values import deadlock, staged, turned
from traces.errors import TraceError
from traces.scene import Hold
from traces.schema import from_json, to_json

if TYPE_CHECKING:
    from traces.schema import Trace


def changed(trace: Trace, path: str, value: object) -> str:
    """Return the JSON of `trace` with one value, at `path`, replaced."""
    data = json.loads(to_json(trace))
    *ways, last = path.split(".")
    at = data
    for way in ways:
        at = at[int(way)] if way.isdecimal() else at[way]
    at[last] = value
    return json.dumps(data)


def test_round_trip() -> None:
    """Scene and turning survive the file."""
    assert turned() == from_json(to_json(turned()))


def test_old_file() -> None:
    """A file from before there were scenes is read without one."""
    data = json.loads(to_json(deadlock()))
    for name in ("scene", "turning"):
        del data[name]
    assert deadlock() == from_json(json.dumps(data))


@pytest.mark.parametrize(
    ("path", "value", "error"),
    [
        ("scene.version", 2, "scene.version: 2, but this stage3 reads version 1; "),
        ("scene.kept", 7, "scene.kept: 7 is not a number of the run's 6 steps, at most 100000; "),
        ("scene.holds.0.first", 6, "scene.holds[0].first: 6 is not one of the 6 steps that are"),
        ("scene.holds.1.last", 2, "scene.holds[1].last: 2 is not a step from 3 to 5; "),
        ("scene.waits.0.owner", None, "scene.waits[0].owner: None is not a string; "),
        ("scene.waits.0.extra", 1, "scene.waits[0]: unknown field 'extra'; "),
        ("scene.sources.0.lines", ["x" * 501], "scene.sources[0].lines[0]: has 501 characters, "),
        ("turning.step", 6, "turning.step: 6 is not one of the run's 6 steps; "),
        ("turning.failing", -1, "turning.failing: -1 is not between 0 and "),
    ],
)
def test_refused(path: str, value: object, error: str) -> None:
    """A value out of its bounds is refused by name, with the value."""
    with pytest.raises(TraceError) as caught:
        from_json(changed(turned(), path, value))
    assert str(caught.value).startswith(error)


def test_beyond_the_run() -> None:
    """A scene that speaks of a step that is not there is not written either."""
    scene = staged().scene
    assert scene is not None
    wrong = replace(staged(), scene=replace(scene, holds=(Hold("a", "main", 9, None),)))
    with pytest.raises(TraceError):
        from_json(to_json(wrong))
