"""The choice that decided: after it every sampled schedule fails in the same way, before it not."""

from __future__ import annotations

import threading

from tests.traces.values import turned
from tests.verify import zoo
from traces.schema import from_json, to_json
from traces.text import show
from traces.token import decode
from verify import RandomWalk, explore
from verify.explain.turning import turning
from verify.explore import replay
from verify.program import of
from verify.session import Session


def crossed() -> None:
    """Two locks in opposite orders, with a step of one's own before each."""
    one, other = threading.Lock(), threading.Lock()

    def take(first: threading.Lock, second: threading.Lock) -> None:
        with first, second:
            pass

    zoo.together(lambda: take(one, other), lambda: take(other, one))


def always() -> None:
    """Fails whatever is chosen."""
    lock = threading.Lock()
    zoo.together(lock.acquire, lock.acquire)


def test_deadlock() -> None:
    """It is the step at which the second lock of the cycle is taken; the owner of the first had better gone on."""
    program = of(crossed)
    state = explore(program, RandomWalk(1), executions=200, first_only=True)
    group = next(iter(state.groups.values()))
    assert group.trace is not None
    with Session(program) as session, session.at(group.granularity):
        found = turning(session, group.finding, group.choices, 60.0)
    assert found is not None
    taken = [s.index for s in group.trace.steps if s.op == "Lock.acquire"]
    assert taken[1] == found.step
    assert group.trace.steps[found.step].task == found.task
    assert (24, 24) == (found.sampled, found.failing)
    assert found.instead in {"main/1", "main/2"} - {found.task}
    assert found.passing > 0
    assert 24 == found.others
    (again,) = replay(program, decode(found.token))
    assert (True, None) == (again.identical, again.finding)


def test_whatever_is_chosen() -> None:
    """Where every schedule fails no choice decided."""
    program = of(always)
    state = explore(program, RandomWalk(1), executions=5, first_only=True)
    group = next(iter(state.groups.values()))
    with Session(program) as session, session.at(group.granularity):
        assert turning(session, group.finding, group.choices, 60.0) is None


def test_no_time() -> None:
    """Without time nothing is said."""
    program = of(crossed)
    state = explore(program, RandomWalk(1), executions=200, first_only=True)
    group = next(iter(state.groups.values()))
    with Session(program) as session, session.at(group.granularity):
        assert turning(session, group.finding, group.choices, 0.0) is None


def test_said() -> None:
    """What was sampled is said in the text of the trace, and kept in its file."""
    text = show(turned())
    assert (
        "  decided at step 3, where t2 goes on: 24 of 24 sampled schedules that go so far fail in this way\n"
        "  with t1 going on there instead 18 of 24 sampled schedules end well, 6 fail in this way\n"
    ) in text
    assert turned() == from_json(to_json(turned()))
