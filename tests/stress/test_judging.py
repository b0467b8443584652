"""Progress and its absence."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stress.watchdog.judging import BUSY_FACTOR, Judge, Reading
from stress.watchdog.processes import Usage
from tests.stress.hang_values import PID, entry, snapshot, thread
from verify.backtraces import ProcessDump, ThreadDump

if TYPE_CHECKING:
    from verify.observe.snapshot import Entry, Snapshot


def shot(*ring: Entry) -> Snapshot:
    return snapshot((thread(1, "one"), thread(2, "two")), ring=ring)


def reading(of: Snapshot | None = None, cpu_s: float = 0.0) -> Reading:
    return Reading(PID, 1, of, {PID: Usage("R", int(cpu_s * 1e9), 0)})


def sampled(state: str) -> ProcessDump:
    return ProcessDump(PID, "py-spy", (ThreadDump(PID, None, "", (), state=state),))


def test_operations_are_progress() -> None:
    """The clock starts anew with an operation, and runs without."""
    judge = Judge(0.0)
    judge.look(1.0, [reading(shot())])
    judge.look(2.0, [reading(shot(entry(0, 1, "Lock.acquire", 1)))])
    judge.look(9.0, [reading(shot(entry(0, 1, "Lock.acquire", 1)))])

    assert 2.0 == judge.since
    assert not judge.due(6.9, 5.0)
    assert judge.due(7.0, 5.0)


def test_time_outs_are_none() -> None:
    """A thread that polls does not keep a hung program alive."""
    judge = Judge(0.0)
    judge.look(1.0, [reading(shot())])
    judge.look(2.0, [reading(shot(entry(0, 1, "Thread.join", 1, result=False)))])

    assert 1.0 == judge.since


def test_circles_are_none() -> None:
    """Two threads that refuse each other make operations and no progress."""
    judge = Judge(0.0)
    ring: list[Entry] = []
    for turn in range(20):
        for slot, own, other in ((1, 1, 2), (2, 2, 1)):
            ring.append(entry(len(ring), slot, "Lock.acquire", own))
            ring.append(entry(len(ring), slot, "Lock.acquire", other, result=False, line=9))
        judge.look(float(turn), [reading(shot(*ring))])

    assert judge.since < 4.0


def test_new_process_is_progress() -> None:
    """A process that starts or ends moves the clock, and a pid used again is another process."""
    judge = Judge(0.0)
    judge.look(1.0, [reading()])
    judge.look(2.0, [reading(), replace(reading(), pid=7)])
    assert 2.0 == judge.since
    judge.look(3.0, [reading()])
    assert 3.0 == judge.since
    judge.look(4.0, [replace(reading(), ticks=2)])
    assert 4.0 == judge.since


def test_computing_gets_longer() -> None:
    """A thread that computes is given several limits, and all the time it wants while it moves."""
    judge = Judge(0.0)
    judge.look(0.0, [reading(cpu_s=0.0)])
    judge.look(1.0, [reading(cpu_s=0.9)])

    assert {PID: {PID: 0.9}} == judge.busy()
    assert not judge.due(1.0 + 1.0, 1.0)
    assert judge.due(BUSY_FACTOR + 0.1, 1.0)
    assert [False, True, False] == [judge.sample(2.0, sampled(state)) for state in "aba"]
    assert 2.0 == judge.since
    assert judge.sample(3.0, sampled("c"))
    assert frozenset({PID}) == judge.moving()
    judge.look(4.0, [reading(cpu_s=0.9)])
    assert frozenset() == judge.moving()


def test_waiting_for_a_processor_is_no_computing() -> None:
    """A thread that wakes up often and computes nothing is not busy, however long it queues."""
    judge = Judge(0.0)
    judge.look(0.0, [replace(reading(), usage={PID: Usage("S", 0, 0)})])
    judge.look(1.0, [replace(reading(), usage={PID: Usage("S", 10_000_000, 900_000_000)})])

    assert {} == judge.busy()
