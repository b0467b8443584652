"""What single detectors say, and what they must not say."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from verify import RandomWalk, Settings, access, explore, label
from verify.detectors import LockOrder, Lockset, default_detectors
from verify.program import of

from . import zoo

if TYPE_CHECKING:
    from verify.abc import Detector
    from verify.explore import Exploration


def watched(body: zoo.Program, *more: Detector, executions: int = 100) -> Exploration:
    program = replace(of(body), detectors=lambda: [*default_detectors(), *more])
    return explore(program, RandomWalk(1), executions=executions)


def locks(*titles: str) -> list[threading.Lock]:
    made = [threading.Lock() for _ in titles]
    for lock, title in zip(made, titles, strict=True):
        label(lock, title)
    return made


def test_lock_order_names_both_locks_and_the_place() -> None:
    """A lock taken against the declared order is noted once, and the execution goes on."""

    def body() -> None:
        outer, inner = locks("outer", "inner")
        with inner, outer:
            pass

    state = watched(body, LockOrder(["outer", "inner"]), executions=3)

    (note,) = state.notes.values()
    assert note.count == 3
    assert "main takes outer at " in note.finding.message
    assert "while holding inner; declared order: outer > inner" in note.finding.message
    assert {} == state.groups


def test_lock_order_silent() -> None:
    """Locks taken in order, tried, or not declared are not noted."""

    def body() -> None:
        outer, inner, other = locks("outer", "inner", "other")
        with outer, inner:
            pass
        with inner, other:
            assert outer.acquire(blocking=False)
            outer.release()

    assert {} == watched(body, LockOrder(["outer", "inner"])).notes


def test_lockset_names_the_unprotected() -> None:
    """An object that two tasks touch without a common lock, one of them writing, is noted with both places."""

    def body() -> None:
        (lock,) = locks("the lock")

        def locked() -> None:
            with lock:
                access("counter", write=True)

        zoo.together(locked, lambda: access("counter", write=False))

    (note,) = watched(body, Lockset()).notes.values()

    assert "no lock protects counter" in note.finding.message
    assert len(note.finding.details) == 1


def test_lockset_silent() -> None:
    """One common lock, read-only sharing, one task, or a name declared as ordered otherwise: no note."""

    def body() -> None:
        (lock,) = locks("the lock")

        def work() -> None:
            with lock:
                access("counter", write=True)
            access("constant", write=False)
            access("handed over", write=True)

        access("own", write=True)
        zoo.together(work, work)
        access("own", write=True)

    assert {} == watched(body, Lockset(ignore=frozenset({"handed over"}))).notes


def test_deadlock_through_condition_names_the_sleeper() -> None:
    """A thread asleep in a nested monitor is found, with the lock it keeps."""

    def body() -> None:
        (outer,) = locks("outer")
        condition = threading.Condition()
        label(condition, "ready")

        def wait() -> None:
            with outer, condition:
                condition.wait()

        def wake() -> None:
            with outer, condition:
                condition.notify()

        zoo.together(wait, wake)

    causes = {group.finding.cause for group in watched(body).groups.values()}

    assert {"lost wake-up"} == causes


def test_idle_daemons_are_not_blamed() -> None:
    """A daemon that waits for work for ever does not make a finished program a hang."""

    def body() -> None:
        wake = threading.Event()
        threading.Thread(target=wake.wait, daemon=True).start()

    assert {} == watched(body).groups


def test_firm_cycle_is_found_while_others_run() -> None:
    """A deadlock of two is reported although a third task would go on for ever."""

    def body() -> None:
        left, right = locks("left", "right")

        def one() -> None:
            with left, right:
                pass

        def two() -> None:
            with right, left:
                pass

        def heartbeat() -> None:
            while True:
                time.sleep(1)

        threading.Thread(target=heartbeat, daemon=True).start()
        zoo.together(one, two)

    program = replace(of(body), settings=Settings(max_steps=500, fair_steps=500))
    (group,) = explore(program, RandomWalk(1), executions=100).groups.values()

    assert group.finding.cause == "deadlock"
    assert group.finding.cycle in {
        ("Thread-2 (one)", "Thread-3 (two)", "Thread-2 (one)"),
        ("Thread-3 (two)", "Thread-2 (one)", "Thread-3 (two)"),
    }


def test_a_lock_as_a_signal_is_no_deadlock() -> None:
    """A lock that one thread takes twice and another releases is a signal, not a self-deadlock."""

    def body() -> None:
        gate = threading.Lock()
        gate.acquire()
        thread = threading.Thread(target=gate.release)
        thread.start()
        gate.acquire()
        thread.join()

    assert {} == watched(body).groups
