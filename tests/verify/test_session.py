"""What a check leaves behind (nothing), and what it must not touch."""

from __future__ import annotations

import gc
import queue
import selectors
import socket
import sys
import threading
import time
from dataclasses import replace
from threading import Event, Lock
from time import monotonic

import pytest

from verify import (
    InvariantError,
    RandomWalk,
    Settings,
    _real,
    access,
    advance,
    broken,
    draw,
    explore,
    invariant,
    label,
    patching,
)
from verify.explore import Verdict
from verify.primitives.patches import Patch
from verify.program import of
from verify.session import Session
from verify.strategies.replay import Replay

from . import zoo

WATCHED = {
    threading: ("Lock", "RLock", "local", "get_ident", "current_thread"),
    time: ("sleep", "monotonic", "time", "perf_counter"),
    queue: ("SimpleQueue",),
    socket: ("socket", "socketpair", "create_connection"),
    selectors: ("DefaultSelector",),
    threading.Thread: ("__init__", "start", "join"),
    threading.Event: ("__init__", "wait", "set"),
    threading.Condition: ("__init__", "wait", "notify"),
    queue.Queue: ("put", "get"),
}


def names_now() -> dict[str, object]:
    return {
        f"{owner}.{name}": getattr(owner, name)
        for owner, names in WATCHED.items()
        for name in names
    }


@pytest.mark.parametrize("body", [zoo.kept_update, zoo.abba, zoo.lost_update, zoo.spin_under_lock])
def test_leaves_nothing(body: zoo.Program) -> None:
    """After a check, failed or not, every name, code object and collector setting is what it was."""
    before, code = names_now(), body.__code__
    mine = (globals()["Event"], globals()["Lock"], globals()["monotonic"])

    explore(replace(of(body), settings=Settings(max_jumps=1000)), RandomWalk(1), executions=30)

    assert before == names_now()
    assert code is body.__code__
    assert mine == (Event, Lock, monotonic)
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def early_imports() -> None:
    """Uses names that this module imported before any check."""
    lock, event = Lock(), Event()
    start = monotonic()

    def work() -> None:
        with lock:
            event.set()

    zoo.together(work)
    assert event.wait(1)
    assert monotonic() - start < 1
    time.sleep(3600)
    assert monotonic() - start > 3600


def test_early_imports_are_controlled() -> None:
    """`from threading import Lock` and `from time import monotonic` are controlled too, and an hour passes at once."""
    before = _real.monotonic()

    assert Verdict.NOT_FOUND == explore(of(early_imports), RandomWalk(1), executions=20).verdict
    assert _real.monotonic() - before < 60


def test_names_that_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A patched name that the program has deleted does not keep the others from being restored."""

    class Own:
        """Has one attribute of its own."""

        kept = 1

    rows = [Patch(Own, "kept", 2), Patch(Own, "deleted", 3), Patch(Own, "added", 4)]
    monkeypatch.setattr(patching, "method_rows", lambda: rows)
    patches = patching.Patches()
    patches.install()
    del Own.deleted  # type: ignore[attr-defined] # put there by the patch
    patches.restore()

    assert (1, []) == (Own.kept, [name for name in ("deleted", "added") if hasattr(Own, name)])


def test_other_threads_keep_the_real_thing() -> None:
    """A thread that no check controls goes on with real primitives while one is running."""
    seen: list[type] = []
    go, done = _real.allocate_lock(), _real.allocate_lock()
    go.acquire()
    done.acquire()

    def outside() -> None:
        go.acquire()
        seen.extend((type(threading.Lock()), type(threading.current_thread())))
        time.sleep(0)
        done.release()

    thread = threading.Thread(target=outside)
    thread.start()

    def body() -> None:
        go.release()
        done.acquire()

    explore(of(body), RandomWalk(1), executions=1)
    thread.join()

    assert [type(_real.allocate_lock()), threading.Thread] == seen


def stubborn() -> None:
    """Swallows every exception, the one that takes it down included."""
    lock = threading.Lock()

    def cling() -> None:
        while True:
            try:
                with lock:
                    threading.Event().wait()
            except BaseException:  # noqa: BLE001, S110 - that is the point
                pass

    threading.Thread(target=cling, daemon=True).start()


def test_stubborn_tasks_are_abandoned() -> None:
    """A task that swallows its own end does not hang the tool."""
    state = explore(of(stubborn), RandomWalk(1), executions=20)

    assert Verdict.NOT_FOUND == state.verdict
    assert state.executions == 20


def test_finally_blocks_run_when_taken_down() -> None:
    """Tasks that are alive at the end are unwound, so their finally blocks run."""
    unwound = []

    def body() -> None:
        def wait() -> None:
            try:
                threading.Event().wait()
            finally:
                unwound.append(1)

        threading.Thread(target=wait, daemon=True).start()
        time.sleep(1)

    state = explore(of(body), RandomWalk(0, stay=0.0), executions=50)

    assert Verdict.NOT_FOUND == state.verdict
    assert unwound


def test_exceptions_of_the_body_are_findings() -> None:
    """sys.exit() in a thread just ends it; in the main task it is a finding like any other."""
    assert (
        Verdict.NOT_FOUND
        == explore(of(lambda: zoo.together(sys.exit)), RandomWalk(1), executions=5).verdict
    )
    assert Verdict.FOUND == explore(of(sys.exit), RandomWalk(1), executions=5).verdict


def test_keyboard_interrupt_ends_the_search() -> None:
    """Ctrl-C inside a task is the user's, not the program's."""

    def body() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explore(of(body), RandomWalk(1), executions=5)


def test_nested_checks_are_refused() -> None:
    """A check inside a check is an error that says so, not a mixed-up run."""

    def body() -> None:
        with pytest.raises(RuntimeError, match="already running"):
            explore(of(zoo.abba), RandomWalk(1), executions=1)

    assert Verdict.NOT_FOUND == explore(of(body), RandomWalk(1), executions=1).verdict


def test_draws_are_part_of_the_schedule() -> None:
    """A drawn value is a choice: found by search, repeated by replay."""

    def body() -> None:
        assert draw(8) != 5

    (group,) = explore(of(body), RandomWalk(1), executions=200).groups.values()
    with Session(of(body)) as session:
        outcome = session.run(Replay(group.choices), of(body).detectors())

    assert (5,) == group.choices
    assert outcome.finding is not None


def test_declared_accesses_are_scheduling_points() -> None:
    """`access` lets another task in between a read and the write that depends on it."""

    def body() -> None:
        total = [0]

        def add() -> None:
            access("total", write=False)
            seen = total[0]
            access("total", write=True)
            total[0] = seen + 1

        zoo.together(add, add)
        assert total == [2]

    assert Verdict.FOUND == explore(of(body), RandomWalk(1), executions=100).verdict


def test_invariants_at_every_step_and_at_the_end() -> None:
    """An invariant is checked between operations, under its own name; one for the end only there."""

    def body() -> None:
        lock, values = threading.Lock(), [0, 0]
        label(lock, "the lock")
        invariant("never negative", lambda: None if min(values) >= 0 else "negative")
        invariant(
            "both two", lambda: None if values == [2, 2] else f"they are {values}", at_end=True
        )

        def add(times: int) -> None:
            with lock:
                values[0] += times
            with lock:
                values[1] += times

        zoo.together(lambda: add(1), lambda: add(2))

    (group,) = explore(of(body), RandomWalk(1), executions=10).groups.values()

    assert group.finding.cause == "broken invariant"
    assert group.finding.message == "both two: they are [3, 3]"


def test_invariant_error_raised_by_the_program() -> None:
    """InvariantError from the program itself carries its invariant's name."""

    def body() -> None:
        raise InvariantError("one side runs", "both do")

    (group,) = explore(of(body), RandomWalk(1), executions=1).groups.values()

    assert ("broken invariant", "one side runs") == (group.finding.cause, group.finding.key[0])


def test_broken_ends_the_execution_on_the_spot() -> None:
    """`broken` stops a run where it is called, so that nothing after it happens; outside a check it raises."""
    after = []

    def body() -> None:
        broken("one side runs", "both do")
        after.append(1)

    (group,) = explore(of(body), RandomWalk(1), executions=1).groups.values()

    assert ("broken invariant", "one side runs") == (group.finding.cause, group.finding.key[0])
    assert [] == after
    with pytest.raises(InvariantError, match="one side runs: both do"):
        broken("one side runs", "both do")


def test_outside_a_check_the_api_is_silent() -> None:
    """The same code runs without a check: no scheduling, no value but zero."""
    access("x", write=True)
    advance(5)
    label(threading.Lock(), "x")
    invariant("never", lambda: "wrong")

    assert draw(10) == 0
