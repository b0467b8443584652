"""Linearizability: the search against brute force, the recorder, and checks that use both."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import deque
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import verify
from verify import CheckFailed, Counter, Fifo, History, InvariantError, KeyValue, Lifo, Register
from verify.linear.history import PENDING, Call
from verify.linear.search import Answer, judge, same

from . import zoo

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.linear.specs import Spec


def brute(calls: Sequence[Call], spec: Spec) -> bool:
    """Try every order of every choice of pending calls."""
    ended = [call for call in calls if not call.pending]
    pending = [call for call in calls if call.pending]
    for count in range(len(pending) + 1):
        for taken in itertools.combinations(pending, count):
            for order in itertools.permutations([*ended, *taken]):
                if _obeys(order, spec):
                    return True
    return False


def _obeys(order: Sequence[Call], spec: Spec) -> bool:
    for at, call in enumerate(order):
        if any(not later.pending and later.end < call.begin for later in order[at + 1 :]):
            return False
    state = spec.initial()
    for call in order:
        state, outcome = spec.step(state, call.op, call.args)
        if not call.pending and not same(outcome, call.outcome):
            return False
    return True


@st.composite
def histories(draw: st.DrawFn) -> list[Call]:
    """Overlapping calls on a register, with outcomes that may or may not be possible."""
    count = draw(st.integers(1, 6))
    marks = draw(st.permutations([*range(count), *range(count)]))
    calls: dict[int, Call] = {}
    for event, who in enumerate(marks):
        if who not in calls:
            op = draw(st.sampled_from(["read", "write", "swap", "cas"]))
            value = draw(st.integers(0, 2))
            args = {
                "read": (),
                "write": (value,),
                "swap": (value,),
                "cas": (value, draw(st.integers(0, 2))),
            }[op]
            calls[who] = Call(f"t{who}", op, args, event)
        elif draw(st.integers(0, 5)):
            call = calls[who]
            call.end = event
            call.outcome = (
                None if call.op == "write" else draw(st.sampled_from([0, 1, 2, True, False]))
            )
    return list(calls.values())


@pytest.mark.slow
@given(histories())
@settings(max_examples=300, deadline=None)
def test_search_is_brute_force(calls: list[Call]) -> None:
    """The search with its memo says what trying all orders says."""
    expected = Answer.YES if brute(calls, Register(0)) else Answer.NO

    assert expected == judge(calls, Register(0)).answer


def history(*rows: tuple[str, tuple[object, ...], int, int, object]) -> list[Call]:
    return [
        Call(f"t{at}", op, args, begin, end, outcome)
        for at, (op, args, begin, end, outcome) in enumerate(rows)
    ]


@pytest.mark.parametrize(
    ("spec", "calls", "expected"),
    [
        (Register(0), history(("write", (1,), 0, 3, None), ("read", (), 1, 2, 0)), Answer.YES),
        (Register(0), history(("write", (1,), 0, 1, None), ("read", (), 2, 3, 0)), Answer.NO),
        (Register(0), history(("write", (1,), 0, -1, PENDING), ("read", (), 1, 2, 1)), Answer.YES),
        (Counter(), history(("increment", (), 0, 2, 1), ("increment", (), 1, 3, 1)), Answer.NO),
        (Counter(), history(("increment", (), 0, 2, 2), ("add", (1,), 1, 3, 1)), Answer.YES),
        (Fifo(), history(("put", (1,), 0, 1, None), ("put", (2,), 2, 3, None), ("get", (), 4, 5, 2)), Answer.NO),
        (Lifo(), history(("push", (1,), 0, 1, None), ("push", (2,), 2, 3, None), ("pop", (), 4, 5, 2)), Answer.YES),
        (Lifo(), history(("pop", (), 0, 1, IndexError)), Answer.YES),
        (KeyValue(), history(("put", ("a", 1), 0, 1, None), ("get", ("b",), 2, 3, 1)), Answer.NO),
        (KeyValue(), history(("put", ("a", 1), 0, 1, None), ("get", ("b",), 2, 3, None)), Answer.YES),
    ],
)  # fmt: skip
def test_judge(spec: Spec, calls: list[Call], expected: Answer) -> None:
    """Small histories of each specification."""
    assert expected == judge(calls, spec).answer


def test_keys_are_judged_apart() -> None:
    """Forty keys of twelve overlapping calls each take no more states than one key does, forty times."""
    one = [
        Call(
            "t",
            "put" if at % 2 else "get",
            ("a", at) if at % 2 else ("a",),
            at,
            40 - at,
            None if at % 2 else 3,
        )
        for at in range(12)
    ]
    many = [
        Call(call.who, call.op, (key, *call.args[1:]), call.begin, call.end, call.outcome)
        for key in range(40)
        for call in one
    ]

    assert 40 * judge(one, KeyValue()).states == judge(many, KeyValue()).states


def test_undecided() -> None:
    """A search that has looked at as many states as it may says so."""
    writes = [Call("t", "write", (at,), at, 100 - at, None) for at in range(20)]

    calls = [*writes, Call("t", "read", (), 200, 201, 99)]

    assert Answer.UNDECIDED == judge(calls, Register(), most=100).answer
    with pytest.raises(ValueError, match="has no operation 'jump'; it has: get"):
        judge([Call("t", "jump", (), 0, 1)], Counter())


class Stack:
    """A stack that looks, then takes."""

    def __init__(self, *, locked: bool) -> None:
        self.items: deque[int] = deque()
        self.lock = threading.Lock() if locked else None

    def push(self, item: int) -> None:
        """Put an item on top."""
        self.items.append(item)

    def pop(self) -> int:
        """Take the last item."""
        if self.lock is None:
            item = self.items[-1]
            self.items.remove(item)
            return item
        with self.lock:
            return self.items.pop()


def used(*, locked: bool) -> None:
    stack, calls = Stack(locked=locked), History("stack")
    for item in (1, 2):
        calls.call("push", stack.push, item)

    def pop() -> None:
        with contextlib.suppress(ValueError):
            calls.call("pop", stack.pop)

    zoo.together(pop, pop)
    assert verify.linearizable(calls, Lifo())


@pytest.mark.slow
def test_check() -> None:
    """Under a check a stack that gives one item to two callers is found, with the calls; a locked one is not."""
    with pytest.raises(CheckFailed, match="not linearizable") as raised:
        verify.check(lambda: used(locked=False), executions=200, granularity="access")

    assert "MainThread: push(2) -> None [2, 3]" in str(raised.value)
    assert "the longest order that the specification allows has 3" in str(raised.value)
    verify.check(lambda: used(locked=True), executions=50, granularity="access")


def test_outside_a_check() -> None:
    """On real threads a history is recorded and judged as well; what raises is recorded by its class."""
    calls = History()
    items: deque[int] = deque()
    zoo.together(
        lambda: calls.call("push", items.append, 1), lambda: calls.call("push", items.append, 2)
    )
    calls.call("pop", items.pop)
    calls.call("pop", items.pop)
    with pytest.raises(IndexError):
        calls.call("pop", items.pop)

    assert verify.linearizable(calls, Lifo())
    assert "MainThread: pop() -> IndexError" == str(calls.calls[-1])
    calls.end(calls.begin("pop"), 7)
    with pytest.raises(InvariantError, match="no order of these 6 calls"):
        verify.linearizable(calls, Lifo())


@pytest.mark.slow
def test_undecided_is_noted() -> None:
    """A history too wide for the search is noted, and no failure."""

    def body() -> None:
        calls = History("wide")
        for call in [calls.begin("write", at) for at in range(20)]:
            calls.end(call)
        zoo.together(lambda: calls.end(calls.begin("read"), 99))
        assert not verify.linearizable(calls, Register(), most=100)

    state = verify.check(body, executions=2)
    (note,) = state.notes.values()

    assert "wide: undecided after 100 states" in note.finding.message
