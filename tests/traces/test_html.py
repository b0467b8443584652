"""The timeline's page as text: hostile traces stay data, the size is bounded, the four questions are answered."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from tests.traces import values
from tests.traces.values import deadlock, explained, staged, step, turned
from traces.html.answers import answers
from traces.html.page import page
from traces.html.shell import data_block
from traces.scene import VERSION, Hold, Scene
from traces.text import Titles

if TYPE_CHECKING:
    from traces.schema import Trace

HOSTILE = (
    "</script><script>alert(1)</script><!--\u2028\u202e\x1b]0;x\x07\" onload='x' &lt;{{fallback}}"
)


class Markup(HTMLParser):
    """The tags of a page, the texts of its scripts and what its data says."""

    def __init__(self, made: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.scripts: list[str] = []
        self.feed(made)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the tag and its attributes."""
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        """Note what stands in a script."""
        if self.tags and self.tags[-1] == "script" and data.strip():
            self.scripts.append(data)


def data_of(made: str) -> dict[str, object]:
    found = re.search(r'<script type="application/json" id="trace">(.*?)</script>', made)
    assert found is not None
    data = json.loads(found[1])
    assert isinstance(data, dict)
    return data


def hostile() -> Trace:
    """Return a trace that says the same bad thing wherever it may say anything."""
    trace = staged()
    assert trace.failure is not None
    return replace(
        trace,
        program=replace(trace.program, target=HOSTILE),
        failure=replace(trace.failure, message=HOSTILE, cause=HOSTILE),
        titles={"main:Lock#1": HOSTILE},
        steps=tuple(
            replace(each, op=HOSTILE, site=f"{HOSTILE}:1 f", result=HOSTILE) for each in trace.steps
        ),
        tasks=tuple(replace(each, name=HOSTILE, state=HOSTILE) for each in trace.tasks),
        strategy=HOSTILE,
    )


def test_hostile() -> None:
    """No text of a trace becomes a tag, an attribute or code."""
    tame, wild = Markup(page(deadlock())), Markup(page(hostile(), file=HOSTILE))
    assert tame.tags == wild.tags
    assert tame.attributes == wild.attributes
    assert 2 == len(wild.scripts)
    assert "\x1b" not in page(hostile())
    assert "\u202e" not in page(hostile())


def test_policy() -> None:
    """The page may ask for nothing, and run and look like nothing but what it brings."""
    made = page(deadlock())
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', made)
    style = re.search(r"<style>(.*?)</style>", made, re.DOTALL)
    script = re.search(r"<script>(.*?)</script>", made, re.DOTALL)
    assert policy is not None
    assert style is not None
    assert script is not None
    digests = [
        "sha256-" + b64encode(sha256(m[1].encode()).digest()).decode() for m in (style, script)
    ]
    expected = (
        f"default-src 'none'; style-src '{digests[0]}'; script-src '{digests[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )
    assert expected == policy[1]
    assert not re.search(r"https?://(?!www\.w3\.org/)", made)


@settings(max_examples=40)
@given(values.traces)
def test_any_trace(trace: Trace) -> None:
    """Every trace that can be stored has a page whose data can be read."""
    data = data_of(page(trace))
    assert {"steps", "holds", "waits", "orders", "tasks", "objects"} <= data.keys()


def test_data_block() -> None:
    """What ends an element, or begins a comment, cannot stand in the data."""
    block = data_block("x", {"a": "</script><!--&"})
    assert not re.search("[<>&]", block.split(">", 1)[1].rpartition("<")[0])


def asked(trace: Trace) -> dict[str, list[tuple[str, int]]]:
    found = answers(trace, Titles.of(trace))
    assert isinstance(found, list)
    return {question: [(text, at) for text, at in lines] for question, lines in found}


def test_who_waits_and_holds() -> None:
    """Waiters come with the step since which they wait, locks with the step at which they were taken."""
    found = asked(staged())
    assert [("main: t1", 1), ("t1: b", 4), ("t2: a", 3)] == found["Who waits at the end"]
    assert [("t1: a", 2), ("t2: b", 3)] == found["Who holds what at the end"]


def test_who_holds_in_old_traces() -> None:
    """Without a scene the tasks' own records say it, with no step."""
    expected = [("t1: a", -1), ("t2: b", -1)]
    assert expected == asked(deadlock())["Who holds what at the end"]


def test_which_order_decided() -> None:
    """The critical order names the switch that brought it about, and its reverse is what would have saved it."""
    found = asked(explained())
    assert ("to t1, a switch", 2) == found["Which switch decided"][0]
    assert ("so that t1 before t2: acquire a", 2) == found["Which switch decided"][1]
    saved = ("t2 before t1: acquire a (0 of 20 sampled schedules then fail)", 2)
    assert saved == found["What would have saved it"][0]


def test_which_choice_decided() -> None:
    """Where no order is known, the choice after which all samples fail is named, and the better one."""
    found = asked(turned())
    assert [
        ("t2 goes on, a preemption: acquire b", 3),
        ("24 of 24 sampled schedules that go so far fail in this way", -1),
    ] == found["Which switch decided"]
    assert [
        ("t1 going on there instead", 3),
        ("18 of 24 sampled schedules then end well, 6 fail in this way", -1),
    ] == found["What would have saved it"]


def test_nothing_sampled() -> None:
    """Where nothing was sampled, that is said."""
    found = asked(deadlock())
    assert "not sampled; the last preemption and switch are" == found["Which switch decided"][0][0]
    assert [("not sampled: no order is known that would", -1)] == found["What would have saved it"]


def test_no_failure() -> None:
    """A run that ended well is asked who waits and who holds, not what went wrong."""
    assert ["Who waits at the end", "Who holds what at the end"] == list(
        asked(replace(deadlock(), failure=None))
    )


def long_run(steps: int) -> Trace:
    """Return a run in which four tasks take a lock in turn."""
    did = tuple(
        step(
            at,
            f"main/{at // 2 % 4}",
            f"{'release' if at % 2 else 'acquire'} main:Lock#1",
            f"p.py:{at % 90} f",
        )
        for at in range(steps)
    )
    holds = tuple(Hold("main:Lock#1", f"main/{at // 2 % 4}", at, at) for at in range(0, steps, 2))
    return replace(deadlock(), steps=did, scene=Scene(VERSION, steps, holds, (), ()))


@pytest.mark.slow
def test_size() -> None:
    """10,000 steps with as many intervals as they can make stay below 1 MB."""
    assert len(page(long_run(10_000))) < 1_000_000
