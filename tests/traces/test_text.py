"""The text view: an exact snapshot, windows, folding, and text that would drive a terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings

from tests.traces.values import deadlock, explained, step, traces
from traces.explanation import Event, Order, chains
from traces.schema import Schedule, Trace, TraceError
from traces.text import MOST_SHOWN, plain, replay_line, show
from traces.token import decode, from_trace

LANES = """\
DEADLOCK in accounts:race
t1 waits for b, which t2 holds; t2 waits for a, which t1 holds.
  Nobody else can release them.
  cycle: t1 -> b -> t2 -> a -> t1
6 steps, 1 preemption, 3 tasks, 0.000005 s of virtual time; found by pct, seed 7
Python 3.11.7, stage3 0.1.0, granularity sync depth=3

            main             t1               t2               source
            ---------------  ---------------  ---------------  ------
     0      start t1                                           accounts.py:20 race
     1      start t2                                           accounts.py:21 race
     2                       acquire a -> ok                   accounts.py:8 transfer
     3 =>                                     acquire b -> ok  accounts.py:8 transfer
     4                                        acquire a        accounts.py:9 transfer
     5   !!                  acquire b                         accounts.py:9 transfer
=> first step after a preemption; !! where it failed

Tasks when it ended
  main: blocked, waits for t1
  t1 (main/1, payer): blocked, waits for b
    holds a, acquired at accounts.py:8 transfer
    accounts.py:9 in transfer
      with second:
  t2 (main/2, payer): blocked, waits for a
    holds b, acquired at accounts.py:8 transfer
    accounts.py:9 in transfer
      with second:

replay: stage3 replay accounts:race TOKEN
"""

WINDOW = """\
(steps 0 to 1 are not shown: --steps 0:1)
     2      [t1] acquire a -> ok      accounts.py:8 transfer
     3 =>   [t2] acquire b -> ok      accounts.py:8 transfer
     4      [t2] acquire a            accounts.py:9 transfer
(step 5 is not shown: --steps 5:5)
=> first step after a preemption; !! where it failed
"""


def many(tasks: int, count: int) -> Trace:
    """Return a passing trace of `count` steps by `tasks` tasks in turn."""
    steps = tuple(step(i, f"main/{i % tasks}", f"step {i}") for i in range(count))
    return replace(deadlock(), steps=steps, tasks=(), failure=None, titles={})


def body(text: str) -> str:
    """Return the part of a view between its header and the replay line."""
    return text.split("\n\n")[1] + "\n"


def test_lanes() -> None:
    """The whole view of a small deadlock, character by character."""
    text = show(deadlock(), width=100)
    token = replay_line(deadlock()).split()[-1]
    assert LANES == text.replace(token, "TOKEN")
    assert from_trace(deadlock()) == decode(token)


def test_window() -> None:
    """A window says what is left out, and how to see it; a narrow one names tasks in front."""
    text = show(deadlock(), first=2, last=4, width=60, stacks=False)
    assert WINDOW == body(text)
    assert "Tasks when it ended" not in text


@pytest.mark.parametrize(
    ("first", "last", "indices"),
    [
        (None, None, range(50, 50 + MOST_SHOWN)),
        (0, None, range(250)),
        (None, 3, range(4)),
        (240, 999, range(240, 250)),
    ],
)
def test_steps_shown(first: int | None, last: int | None, indices: range) -> None:
    """The last 200 steps are shown unless others are asked for."""
    rows = body(show(many(2, 250), first=first, last=last)).splitlines()
    shown = [int(row[:6]) for row in rows if row[:6].strip().isdecimal()]
    assert list(indices) == shown


def test_no_such_steps() -> None:
    """A window beside the trace is refused with what there is."""
    with pytest.raises(TraceError) as caught:
        show(deadlock(), first=6, last=9)
    error = "steps 6:9: the trace has 6 steps; ask for steps between 0 and 5"
    assert error == str(caught.value)


def test_empty() -> None:
    """A trace without steps says so, and a window into it is refused."""
    trace = many(1, 0)
    assert "No step was recorded.\n" == body(show(trace))
    with pytest.raises(TraceError, match="the trace has 0 steps; leave --steps out"):
        show(trace, first=0)


def test_passed() -> None:
    """A run that ended well is headed so and marks no step as failing."""
    lines = show(many(2, 4)).splitlines()
    assert ["NO FAILURE in accounts:race", "The run ended well."] == lines[:2]
    assert "=> first step after a preemption" == lines[-3]


@pytest.mark.parametrize(("tasks", "folded"), [(6, False), (7, True)])
def test_folded(tasks: int, folded: bool) -> None:
    """More than six tasks have no lanes: the task's name stands in front of the step."""
    text = show(many(tasks, 20), width=200)
    assert folded == ("     3      [main/3] step 3" in text)


@pytest.mark.parametrize("width", [60, 80, 100, 132])
def test_width(width: int) -> None:
    """Verdict and steps keep to the width, whatever the names."""
    long = "x" * 300
    steps = tuple(step(i, f"main/{i % 3}", f"acquire {long}", f"{long}.py:1 f") for i in range(9))
    trace = replace(deadlock(), steps=steps, strategy="word " * 60)
    head = show(trace, width=width, stacks=False).split("\n\nreplay: ")[0]
    assert width >= max(len(line) for line in head.splitlines())
    assert "x.py:1 f" in head


def test_replay_line() -> None:
    """A long token gives way to the file, if there is one; without any, the line says why."""
    long = replace(deadlock(), schedule=Schedule(tuple(i * 7919 for i in range(3000))))
    assert "replay: stage3 replay out/t.json" == replay_line(long, "out/t.json")
    assert replay_line(long).startswith("replay: stage3 replay accounts:race s3:1:")
    assert replay_line(deadlock(), "t.json").startswith("replay: stage3 replay accounts:race s3:1:")


def test_replay_line_of_a_test() -> None:
    """A test's trace is replayed by pytest, by token or, where that is long, by file."""
    trace = deadlock()
    test = replace(trace, program=replace(trace.program, target="t.py::test_it[a b]"))
    long = replace(test, schedule=Schedule(tuple(range(600))))

    assert replay_line(test).startswith("replay: pytest 't.py::test_it[a b]' --replay s3:1:")
    assert "replay: pytest 't.py::test_it[a b]' --replay t.json" == replay_line(long, "t.json")


def test_no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule too long for any token is replayed from its file."""
    monkeypatch.setattr("traces.token.MOST_CHARACTERS", 10)
    assert "replay: stage3 replay t.json" == replay_line(deadlock(), "t.json")
    assert replay_line(deadlock()).startswith("no replay line: token: would have ")


def test_plain() -> None:
    """Control characters are shown, not obeyed; other letters stay."""
    assert "é\\x1b[2J\\n\\u202e\\udc80" == plain("é\x1b[2J\n\u202e\udc80")


@settings(max_examples=25)
@given(traces)
def test_any_trace(trace: Trace) -> None:
    """Any valid trace can be shown, and never moves the cursor."""
    text = show(trace, width=80)
    assert "".join(text.split("\n")).isprintable()


WHY = """\
Why it fails
  when these operations take effect in this order (@ is the step below):
    t1: acquire a @2  <  t2: acquire a (stands before it)
    t2: acquire b @3  <  t1: acquire b (stands before it)
  48 of 48 sampled schedules that meet all of them fail in this way; 2 more did not come to meet them
  each is necessary: with it reversed, none of 20 sampled schedules fails in this way
  shrunk from 4 preemptions in 11 steps to 1 preemption in 6 steps (73 executions); no schedule with fewer preemptions
  fails in this way
  as it was found: s3:1:AAAA
"""
PAIR = """\
Critical pair: the order that is decided last
  first t1: acquire a @2 at accounts.py:8 transfer
    accounts.py:9 in transfer
      with second:
  then t2: acquire a (stands before it) at accounts.py:9 transfer
    accounts.py:9 in transfer
      with second:
"""


def test_why() -> None:
    """An explanation is said with its orders and what was sampled, its critical pair with both stacks."""
    text = show(explained())

    assert WHY in text
    assert PAIR in text
    assert PAIR not in show(explained(), stacks=False)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"orders": ()}, "  in any order: 48 of 48 sampled schedules fail in this way"),
        ({"reduced": False}, "  the budget ended before leaving out each of them was tried"),
    ],
)
def test_why_with_less(change: dict[str, object], line: str) -> None:
    """What is not known is not said, and what holds in any order is."""
    trace = explained()
    assert trace.explanation is not None
    less = replace(trace.explanation, critical=None, **change)  # type: ignore[arg-type] # as parametrised

    assert line in show(replace(trace, explanation=less)).splitlines()


def test_doubtful_orders() -> None:
    """Where a reversal fails, too, or could not be sampled, each order is said with its own numbers."""
    trace = explained()
    assert trace.explanation is not None
    first, second = trace.explanation.orders
    orders = (replace(first, failing=3), replace(second, reversed=0))
    text = show(replace(trace, explanation=replace(trace.explanation, orders=orders)), width=200)

    assert "3 of 20 sampled schedules fail in this way" in text
    assert (
        "acquire b (stands before it): no sampled schedule could meet that and the other orders"
        in text
    )


def test_chains() -> None:
    """Orders that follow on each other are strung together."""
    one, two, three = (Event(f"main/{n}", "write", "x", 0, n, "") for n in (1, 2, 3))
    found = [Order(two, three, 1, 0), Order(one, two, 1, 0), Order(one, three, 1, 0)]

    assert [[one, two, three], [one, three]] == chains(found)
