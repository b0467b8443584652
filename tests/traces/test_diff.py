"""Two traces aligned by operation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given, settings

from tests.traces import values
from tests.traces.values import deadlock, step
from traces.diff import Row, align, summary, text
from traces.html.beside import beside

if TYPE_CHECKING:
    from traces.schema import Trace


def run(*did: str) -> Trace:
    """Return a trace of steps told as `task operation object`."""
    steps = (step(at, *words.split(" ", 1)) for at, words in enumerate(did))
    return replace(deadlock(), steps=tuple(steps), failure=None)


def test_alike() -> None:
    """A trace beside itself is the same in the same order."""
    rows = align(deadlock(), deadlock())
    assert tuple(Row(at, at) for at in range(6)) == rows
    assert (
        "6 steps, the same in the same order" == list(text(deadlock(), deadlock(), ("a", "b")))[-1]
    )


def test_moved_and_alone() -> None:
    """What the other does elsewhere is said with the step, what it does not is alone."""
    first = run("a take x", "b take x", "a give x", "a end x")
    second = run("b take x", "a take x", "a give x", "b more x", "b more x")
    rows = align(first, second)
    expected = (
        Row(0, None, 1), Row(1, 0), Row(None, 1, 0), Row(2, 2), Row(3, None), Row(None, 3), Row(None, 4),
    )  # fmt: skip
    assert expected == rows
    found = summary(rows)
    assert (2, 1, 1, 2, 0) == (
        found.aligned, found.moved, found.only_first, found.only_second, found.parted,
    )  # fmt: skip


@settings(max_examples=25)
@given(values.traces, values.traces)
def test_keeps_both_orders(first: Trace, second: Trace) -> None:
    """Every step of either run is in one row, in its order, and those side by side are the same operation."""
    rows = align(first, second)
    assert list(range(len(first.steps))) == [row.first for row in rows if row.first is not None]
    assert list(range(len(second.steps))) == [row.second for row in rows if row.second is not None]
    for row in rows:
        if row.first is not None and row.second is not None:
            one, other = first.steps[row.first], second.steps[row.second]
            assert (one.task, one.op, one.object) == (other.task, other.op, other.object)


def test_lines() -> None:
    """Lines around a difference are shown, long stretches alike are counted."""
    same = [f"a step {at}" for at in range(10)]
    lines = list(text(run(*same, "a x y"), run(*same, "a z y"), ("one", "two"), width=60))
    assert "< one: no failure, 11 steps" == lines[0]
    assert (
        "10 steps side by side, 0 in another order, 1 only in the first, 1 only in the second"
        == lines[2]
    )
    assert "  (7 steps side by side)" == lines[4]
    assert ["<     10        a: x y", ">           10  a: z y"] == lines[-2:]


def test_page() -> None:
    """The page has the rows, links what moved, and escapes what the traces say."""
    first, second = run("a <b> x", "b take x"), run("b take x", "a <b> x")
    made = beside(first, second, ("<one>", "two"))
    assert "<b>" not in made
    assert "<one>" not in made
    assert '<a href="#b1">step 1</a>' in made
    assert "1 step side by side, 1 in another order" in made
