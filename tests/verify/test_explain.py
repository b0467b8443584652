"""Explanation: the orders that make a run fail, how sure that is, and the pair that is decided last."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.verify import shared, zoo
from traces.schema import from_json, to_json
from traces.text import show
from verify import RandomWalk, explore
from verify.explain.events import Event, Order, Orders
from verify.explain.ordered import Ordered, Thrifty
from verify.explain.sampling import Sample, Sampler
from verify.program import of
from verify.session import Session
from verify.shrink.budget import Budget
from verify.shrink.trials import Trials
from verify.strategies.replay import Replay

if TYPE_CHECKING:
    from traces.explanation import Explanation
    from traces.schema import Trace
    from verify.explore import Group
    from verify.program import Program


class Shared:
    """A count that threads share."""

    def __init__(self) -> None:
        self.count = 0


def lost_update() -> None:
    """Two threads add one each, without a lock, and one of them is lost."""
    state = Shared()

    def add() -> None:
        seen = state.count
        state.count = seen + 1

    zoo.together(add, add)
    assert state.count == 2


def explained(program: Program, seconds: float = 1000.0) -> Group:
    """Return the first failure that a random walk meets, shrunk and explained."""
    state = explore(program, RandomWalk(1), executions=500, first_only=True, shrink=seconds)
    return next(iter(state.groups.values()))


def trace_of(group: Group) -> Trace:
    assert group.trace is not None
    return group.trace


def why(group: Group) -> Explanation:
    assert group.explanation is not None
    return group.explanation


def brief(group: Group) -> list[tuple[str, str]]:
    """Return the orders as `task op` pairs."""
    return [
        (f"{o.before.task} {o.before.op}", f"{o.after.task} {o.after.op}")
        for o in why(group).orders
    ]


# --- what a run shows


def orders_of(program: Program, choices: tuple[int, ...]) -> Orders:
    orders = Orders()
    with Session(program) as session:
        session.run(
            Replay(choices, strict=False), [orders, *program.detectors()], on_stop=orders.snapshot
        )
    return orders


def test_orders_of_a_run() -> None:
    """Conflicting operations of two tasks, less what follows from starting, joining and other orders."""
    group = explained(of(lost_update).at("access"), seconds=0)
    found = orders_of(of(lost_update).at(group.granularity), ())

    of_threads = [order for order in found.found if order.after.task != "main"]
    assert [
        Order(
            Event("main/1", "write", "Shared#1.count", 0),
            Event("main/2", "read", "Shared#1.count", 0),
        )
    ] == of_threads


def test_releases_are_acquisitions() -> None:
    """That a lock is released before it is taken again is an order of the two acquisitions."""
    found = orders_of(of(zoo.abba_ordered), ())

    assert {"Lock.acquire"} == {event.op for order in found.found for event in order}


def test_what_tasks_stand_before() -> None:
    """What a task stands before when the run ends comes after all that has been."""
    group = explained(of(zoo.abba), seconds=0)
    found = orders_of(of(zoo.abba), group.choices)

    assert 2 == len(found.found)
    assert {"main/1", "main/2"} == {order.after.task for order in found.found}


# --- schedules that meet orders


FIRST, SECOND = (Event(f"main/{task}", "Lock.acquire", "main:Lock#1", 0) for task in (1, 2))


def took_turns() -> None:
    """Two threads take one lock, each once."""
    lock = threading.Lock()

    def take() -> None:
        with lock:
            pass

    zoo.together(take, take)


@pytest.mark.parametrize("order", [Order(FIRST, SECOND), Order(SECOND, FIRST)])
def test_ordered(order: Order) -> None:
    """Every schedule drawn meets an order that can be met."""
    program = of(took_turns)
    strategy = Ordered([order])
    with Session(program) as session:
        for _ in range(20):
            strategy.new_execution()
            session.run(strategy, [strategy.listener, *program.detectors()])
            assert strategy.met


def test_orders_that_cannot_be_met() -> None:
    """Where everybody is held back somebody goes on, the run ends, and it does not count."""
    program = of(took_turns)
    strategy = Ordered([Order(FIRST, SECOND), Order(SECOND, FIRST)])
    with Session(program) as session:
        for _ in range(10):
            strategy.new_execution()
            outcome = session.run(strategy, [strategy.listener, *program.detectors()])
            assert (None, None, False) == (outcome.abort, outcome.finding, strategy.met)


def test_an_event_that_never_comes() -> None:
    """An order whose first event never happens is not met."""
    program = of(took_turns)
    never = Event("main/1", "Lock.acquire", "main:Lock#7", 0)
    strategy = Ordered([Order(never, SECOND)])
    with Session(program) as session:
        strategy.new_execution()
        session.run(strategy, [strategy.listener, *program.detectors()])

    assert not strategy.met


def test_thrifty_is_complete() -> None:
    """All schedules that meet the orders and leave a task only for their sake are run, and no other."""
    program = of(took_turns)
    strategy = Thrifty([Order(SECOND, FIRST)], (), 1)
    seen = set()
    with Session(program) as session:
        while strategy.new_execution():
            outcome = session.run(strategy, [strategy.listener, *program.detectors()])
            assert strategy.listener.met
            seen.add(outcome.choices)

    assert 1 < len(seen) == sum(strategy.finished) < 10


def test_samples() -> None:
    """Only schedules that met the orders are counted; sampling stops at one pass too many."""
    program = of(zoo.abba)
    group = explained(program, seconds=0)
    with Session(program) as session:
        sampler = Sampler(Trials(session, group.finding, Budget(500, 1000.0)), (), lambda _: None)
        orders = orders_of(program, group.choices).found
        backwards = [orders[0].reversed, orders[1]]

        assert Sample(12, 12, 0) == sampler.sample(orders, 12)
        assert Sample(1, 0, 0) == sampler.sample(backwards, 12, most_passing=0)


# --- explanations


def test_lost_update() -> None:
    """Both reads before the other's write; each order is necessary, and every sampled schedule fails."""
    group = explained(of(lost_update).at("access"))
    found = why(group)

    assert found.sampled == found.failing >= 40
    assert found.reduced
    assert 2 == len(found.orders)
    assert all(order.necessary for order in found.orders)
    assert {("main/1 read", "main/2 write"), ("main/2 read", "main/1 write")} == set(brief(group))


def test_deadlock() -> None:
    """Each lock taken before the other thread takes it; the later of the two is critical, with both stacks."""
    group = explained(of(zoo.abba))
    found = why(group)

    assert {
        ("main/1 Lock.acquire", "main/2 Lock.acquire"),
        ("main/2 Lock.acquire", "main/1 Lock.acquire"),
    } == set(brief(group))
    assert all(order.necessary for order in found.orders)
    assert found.critical is not None
    critical = found.orders[found.critical]
    assert critical.before.step == max(order.before.step or 0 for order in found.orders)
    assert None is critical.after.step
    for event in (critical.before, critical.after):
        assert event.site.startswith("tests/verify/zoo.py:")
        assert "tests/verify/zoo.py" == event.stack[-1].file


def test_steps_are_those_of_the_trace() -> None:
    """An event's step is the one that the trace shows under that number."""
    group = explained(of(lost_update).at("access"))
    steps = trace_of(group).steps

    for order in why(group).orders:
        for event in (order.before, order.after):
            assert event.step is not None
            step = steps[event.step]
            assert (event.task, event.op, event.object) == (step.task, step.op, step.object)


def test_no_order_needed() -> None:
    """What fails in every schedule is said to, and has no orders."""
    group = explained(of(zoo.self_deadlock))
    found = why(group)

    assert ((), None, True) == (found.orders, found.critical, found.sampled == found.failing)
    assert f"in any order: {found.failing} of {found.sampled} sampled schedules fail" in show(
        trace_of(group)
    )


def test_no_time() -> None:
    """Without seconds nothing is shrunk or explained, and the trace says so by saying nothing."""
    group = explained(of(zoo.abba), seconds=0)

    assert (None, None) == (group.shrunk, group.explanation)
    assert "Why it fails" not in show(trace_of(group))


def test_in_the_trace() -> None:
    """The trace file keeps both, and its text says what was sampled and names the critical pair."""
    group = explained(of(zoo.abba))
    trace = trace_of(group)
    assert trace == from_json(to_json(trace))
    assert (group.shrunk, group.explanation) == (trace.shrunk, trace.explanation)

    text = show(trace)

    found = why(group)
    assert (
        f"{found.failing} of {found.sampled} sampled schedules that meet all of them fail" in text
    )
    assert (
        "each is necessary: with it reversed, none of 20 sampled schedules fails in this way"
        in text
    )
    assert "Critical pair: the order that is decided last" in text


@pytest.mark.slow
def test_every_find() -> None:
    """Each kind of failure in one search gets its share of the seconds."""
    state = explore(
        of(shared.check_then_act).at("access"), RandomWalk(1), executions=200, shrink=60.0
    )

    assert state.groups
    assert all(group.shrunk and group.explanation for group in state.groups.values())
