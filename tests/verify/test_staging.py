"""What a recorded run keeps between its steps: holds, waits, and lines of the program."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tests.verify import zoo
from traces.scene import Hold, Scene, Wait
from verify import DFS, RandomWalk, explore
from verify.program import of
from verify.record import Recorder
from verify.session import Session
from verify.staging import sources

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from traces.schema import Trace


def stuck() -> None:
    """One waits on a condition that nobody notifies; the other takes the lock that the wait gave back."""
    lock = threading.RLock()
    ready = threading.Condition(lock)

    def wait() -> None:
        with ready:
            ready.wait()

    waiter = threading.Thread(target=wait)
    waiter.start()
    with lock, lock:
        pass
    waiter.join()


def crossed() -> None:
    """Two locks in opposite orders."""
    one, other = threading.Lock(), threading.Lock()

    def take(first: threading.Lock, second: threading.Lock) -> None:
        with first, second:
            pass

    zoo.together(lambda: take(one, other), lambda: take(other, one))


def woken() -> None:
    """A waiter is notified, takes its lock back, and fails while it holds it."""
    ready = threading.Condition(threading.Lock())
    flag: list[int] = []

    def wait() -> None:
        with ready:
            while not flag:
                ready.wait()
            raise AssertionError

    waiter = threading.Thread(target=wait)
    waiter.start()
    with ready:
        flag.append(1)
        ready.notify()
    waiter.join()


def trace_of(program: Callable[[], None]) -> Trace:
    state = explore(of(program), RandomWalk(3), executions=300, first_only=True)
    trace = next(iter(state.groups.values())).trace
    assert trace is not None
    return trace


def scene_of(program: Callable[[], None]) -> Scene:
    trace = trace_of(program)
    assert trace.scene is not None
    assert len(trace.steps) == trace.scene.kept
    return trace.scene


def test_deadlock() -> None:
    """At the end of a deadlock each holds what the other waits for, since the step that took it."""
    scene = scene_of(crossed)
    held = {hold.task: hold for hold in scene.holds if hold.last is None}
    waits = {wait.task: wait for wait in scene.waits if wait.last is None}
    for one, other in (("main/1", "main/2"), ("main/2", "main/1")):
        assert other == waits[one].owner
        assert held[other].lock == waits[one].object
        assert "Lock.acquire" == waits[one].op
        assert held[other].first <= waits[one].first


def test_condition() -> None:
    """A wait gives the lock back, and waits for a notification that is nobody's duty; nested holds are one."""
    scene = scene_of(stuck)
    by = {task: [h for h in scene.holds if h.task == task] for task in ("main", "main/1")}
    assert [(1, True)] == [(len(by["main"]), by["main"][0].last is not None)]
    assert isinstance(by["main/1"][0], Hold)
    assert by["main/1"][0].last is not None
    (left,) = [w for w in scene.waits if w.task == "main/1" and w.last is None]
    assert ("Condition.wait", "") == (left.op, left.owner)
    (joins,) = [w for w in scene.waits if w.task == "main" and w.last is None]
    assert ("Thread.join", "main/1") == (joins.op, joins.owner)
    assert isinstance(joins, Wait)


def test_holds_follow_the_steps() -> None:
    """A lock is held from the step that takes it, or wakes with it, until the one that gives it back."""
    for seed in range(8):
        state = explore(of(woken), RandomWalk(seed), executions=1)
        trace = next(iter(state.groups.values())).trace
        assert trace is not None
        assert trace.scene is not None
        takes = {"Lock.acquire", "Condition.wake"}
        gives = {"Lock.release", "Condition.wait"}
        taken = [(s.index, s.task) for s in trace.steps if s.op in takes]
        given = {s.index - 1 for s in trace.steps if s.op in gives}
        held = sorted(trace.scene.holds, key=lambda hold: hold.first)
        assert taken == [(hold.first, hold.task) for hold in held]
        assert given == {hold.last for hold in held if hold.last is not None}


def test_a_run_that_ends_well() -> None:
    """Of a run in which nothing was found the tasks are recorded too, and nothing is held or awaited any more."""
    program = of(crossed)
    state = explore(program, RandomWalk(3), executions=300, first_only=True, shrink=60.0)
    found = next(iter(state.groups.values()))
    with Session(program) as session:
        recorder = Recorder()
        outcome = session.run(DFS(), [recorder], record_sites=True, on_stop=recorder.snapshot)
    assert found.trace is not None
    assert outcome.finding is None
    assert [t.name for t in found.trace.tasks] == [t.name for t in recorder.records]
    assert {"finished"} == {task.state for task in recorder.records}
    scene = recorder.staging.scene([])
    assert None not in [hold.last for hold in scene.holds]
    assert None not in [wait.last for wait in scene.waits]


def test_lines(tmp_path: Path) -> None:
    """Lines around sites are kept in blocks that do not overlap; a file that is not there has none."""
    path = tmp_path / "p.py"
    path.write_text("".join(f"line {n}\n" for n in range(1, 41)))
    sites = [f"{path}:3 f", f"{path}:6 g.<locals>.h", f"{path}:39", "gone.py:1 f", "nonsense", ""]
    found = {block.line: block.lines for block in sources(sites)}
    assert {1: 10, 35: 6} == {line: len(lines) for line, lines in found.items()}
    assert "line 6" == found[1][5]
