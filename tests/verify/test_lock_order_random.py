"""Random programs of nested locks: no deadlock that a search finds is silent in the lock order of one execution."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from verify import DFS, RandomWalk
from verify.explore import explore
from verify.lock_order.collect import collect
from verify.lock_order.findings import findings
from verify.program import of

if TYPE_CHECKING:
    from collections.abc import Callable

Blocks = list[list[int]]

blocks = st.lists(
    st.lists(st.integers(0, 2), min_size=1, max_size=3, unique=True), min_size=1, max_size=2
)


def program(threads: list[Blocks], *, joined: bool) -> Callable[[], None]:
    """Return a program in which each thread takes, block after block, the locks of the block inside each other."""

    def body() -> None:
        locks = [threading.Lock() for _ in range(3)]

        def run(mine: Blocks) -> None:
            for block in mine:
                with ExitStack() as held:
                    for number in block:
                        held.enter_context(locks[number])

        started = [threading.Thread(target=run, args=(mine,)) for mine in threads]
        for thread in started:
            thread.start()
            if joined:
                thread.join()
        for thread in started:
            thread.join()

    return body


@pytest.mark.slow
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(blocks, min_size=2, max_size=3), st.booleans())
def test_no_deadlock_is_missed(threads: list[Blocks], joined: bool) -> None:
    """Where a schedule with at most two preemptions deadlocks, one execution without any shows a potential cycle."""
    made = of(program(threads, joined=joined)).at("sync")

    hangs = explore(made, DFS(preemptions=2), executions=300, first_only=True).groups
    found = findings(collect(made, RandomWalk(stay=1.0), executions=1).graph)

    assert found or not hangs
    assert not (joined and found)
