"""Traced primitives on real threads: what is recorded."""

from __future__ import annotations

import itertools
import queue
import select
import selectors
import socket
import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.verify.observing import Things, blocked, label, lines, named, until, use
from verify.observe import layout
from verify.observe.flight import read
from verify.observe.install import note
from verify.observe.recorder import local, recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.observe.snapshot import Snapshot


def test_words(flight: Path) -> None:
    """Each operation is one entry, under the words of a check's report, in order."""
    things = Things()
    thread = threading.Thread(target=use, args=(things,), name="user")
    thread.start()
    thread.join()
    lock = "Things.cond (its RLock)"
    assert [
        ("Lock.acquire", "Things.lock", None),
        ("Lock.try_acquire", "Things.lock", False),
        ("Lock.release", "Things.lock", None),
        ("RLock.acquire", "Things.again", None),
        ("RLock.reacquire", "Things.again", None),
        ("RLock.release", "Things.again", None),
        ("RLock.release", "Things.again", None),
        ("RLock.acquire", lock, None),
        ("Condition.notify", "Things.cond", False),
        ("Condition.wait", "Things.cond", None),
        ("Condition.wake", "Things.cond", False),
        ("Condition.notify_all", "Things.cond", False),
        ("RLock.release", lock, None),
        ("Event.set", "Things.flag", None),
        ("Event.wait", "Things.flag", True),
        ("Event.clear", "Things.flag", None),
        ("Semaphore.acquire", "Things.permits", True),
        ("Semaphore.try_acquire", "Things.permits", False),
        ("Semaphore.release", "Things.permits", None),
        ("Queue.put", "Things.jobs", None),
        ("Queue.get", "Things.jobs", None),
        ("Queue.task_done", "Things.jobs", None),
        ("Queue.get", "Things.jobs", False),
        ("SimpleQueue.put", "Things.simple", None),
        ("SimpleQueue.get", "Things.simple", None),
    ] == lines(read(flight), "user")


def _hold(things: Things) -> None:
    things.lock.acquire()


Row = tuple[str, str, "Callable[[Things], object]", "Callable[[Things], object]"]
BLOCKED: list[Row] = [
    ("Lock.acquire", "Things.lock", lambda t: t.lock.acquire(), lambda t: t.lock.release()),
    ("RLock.acquire", "Things.again", lambda t: t.again.acquire(), lambda t: t.again.release()),
    ("Event.wait", "Things.flag", lambda t: t.flag.wait(), lambda t: t.flag.set()),
    (
        "Semaphore.acquire",
        "Things.permits",
        lambda t: t.permits.acquire(),
        lambda t: t.permits.release(),
    ),
    ("Barrier.wait", "Things.barrier", lambda t: t.barrier.wait(), lambda t: t.barrier.wait()),
    ("Queue.get", "Things.jobs", lambda t: t.jobs.get(), lambda t: t.jobs.put(1)),
    ("SimpleQueue.get", "Things.simple", lambda t: t.simple.get(), lambda t: t.simple.put(1)),
]


@pytest.mark.parametrize(
    ("operation", "title", "block", "free"), BLOCKED, ids=[row[0] for row in BLOCKED]
)
def test_waits(
    flight: Path,
    operation: str,
    title: str,
    block: Callable[[Things], object],
    free: Callable[[Things], object],
) -> None:
    """A blocked thread says in which operation, for which object and from where."""
    things = Things()
    things.lock.acquire()
    things.again.acquire()
    things.permits.acquire()
    thread = threading.Thread(target=block, args=(things,), name="blocked")
    thread.start()
    taken, seen = blocked(flight, "blocked", operation)
    assert seen.waiting is not None
    assert (title, Path(__file__).name) == (
        label(taken, seen.waiting.object), Path(seen.waiting.stack[0].file).name,
    )  # fmt: skip
    assert seen.waiting.timeout_ns is None
    free(things)
    thread.join()
    gone = named(
        until(flight, lambda each: not getattr(named(each, "blocked"), "alive", True)), "blocked"
    )
    assert gone is not None
    assert (None, True) == (gone.waiting, gone.ended_ns is not None)


def test_owner(flight: Path) -> None:
    """A lock that is waited for leads to who holds it, and to where that was acquired."""
    things = Things()
    _hold(things)
    thread = threading.Thread(target=things.lock.acquire, name="blocked")
    thread.start()
    taken, seen = blocked(flight, "blocked", "Lock.acquire")
    assert seen.waiting is not None
    thing = taken.object(seen.waiting.object)
    assert thing is not None
    owner = taken.thread(thing.owner)
    assert owner is not None
    (hold,) = owner.holds
    assert ("MainThread", "Things.__init__", ["_hold", "test_owner"]) == (
        owner.name,
        thing.created.function if thing.created is not None else "",
        [frame.function for frame in hold.stack[:2]],
    )
    things.lock.release()
    thread.join()


def test_condition(flight: Path) -> None:
    """A waiter on a condition gives its lock back; who notified last, and that nobody waited then, is there."""
    things = Things()
    with things.cond:
        things.cond.notify()

    def wait() -> None:
        with things.lock, things.cond:
            things.cond.wait()

    thread = threading.Thread(target=wait, name="blocked")
    thread.start()
    taken, seen = blocked(flight, "blocked", "Condition.wait")
    assert seen.waiting is not None
    thing = taken.object(seen.waiting.object)
    assert thing is not None
    assert thing.last_notify is not None
    me = taken.thread(thing.last_notify.slot)
    assert me is not None
    assert ("Condition", "Things.cond", "MainThread", 0, "test_condition") == (
        thing.kind, thing.label, me.name, thing.last_notify.waiters_then, thing.last_notify.stack[0].function,
    )  # fmt: skip
    assert ["Things.lock"] == [label(taken, hold.object) for hold in seen.holds]
    with things.cond:
        things.cond.notify()
        again, seen = blocked(flight, "blocked", "RLock.acquire")
    thread.join()
    assert again.object(thing.id) is not None


def test_join_future_and_shut_up_threads(flight: Path) -> None:
    """Joins lead to the thread joined, a wait for a result to the future; a pool's worker is called one."""
    gate = threading.Event()
    sleeper = threading.Thread(target=gate.wait, name="sleeper")
    sleeper.start()
    joiner = threading.Thread(target=sleeper.join, name="joiner")
    joiner.start()
    taken, seen = blocked(flight, "joiner", "Thread.join")
    assert seen.waiting is not None
    thing = taken.object(seen.waiting.object)
    assert thing is not None
    target = taken.thread(thing.value)
    assert target is not None
    assert ("Thread", "sleeper", "sleeper") == (thing.kind, thing.label, target.name)
    with ThreadPoolExecutor(1, thread_name_prefix="pool") as pool:
        first = pool.submit(gate.wait)
        asker = threading.Thread(target=first.result, name="asker")
        asker.start()
        taken, seen = blocked(flight, "asker", "Future.result")
        worker = named(taken, "pool_0")
        assert worker is not None
        assert worker.waiting is not None
        assert ("pool worker", "Event.wait") == (worker.role, worker.waiting.operation)
        gate.set()
        for thread in (sleeper, joiner, asker):
            thread.join()
        taken, _ = blocked(flight, "pool_0", "SimpleQueue.get")
    assert "ThreadPoolExecutor._work_queue" in {thing.label for thing in taken.objects}


def test_blocked_calls(flight: Path) -> None:
    """Sleep, sockets and select are waits without an object."""
    near, far = socket.socketpair()
    many = selectors.DefaultSelector()
    many.register(near, selectors.EVENT_READ)
    with near, far, many:
        for operation, call in (
            ("socket.recv", lambda: near.recv(1)),
            ("select.select", lambda: select.select([near], [], [])),
            ("Selector.select", lambda: many.select(60)),
        ):
            thread = threading.Thread(target=call, name=operation)
            thread.start()
            _, seen = blocked(flight, operation, operation)
            assert seen.waiting is not None
            assert ("thread", 0, None if operation != "Selector.select" else 60 * 10**9) == (
                seen.role, seen.waiting.object, seen.waiting.timeout_ns,
            )  # fmt: skip
            far.send(b"x")
            thread.join()
            if operation != "socket.recv":
                near.recv(1)
    sleeper = threading.Thread(target=time.sleep, args=(0.2,), name="asleep")
    sleeper.start()
    _, seen = blocked(flight, "asleep", "time.sleep")
    assert seen.waiting is not None
    assert 200_000_000 == seen.waiting.timeout_ns
    sleeper.join()


def test_holds(flight: Path) -> None:
    """Holds come and go in any order, count what an RLock does, and go when another thread gives the lock back."""
    first = threading.Lock()
    second = threading.Lock()
    again = threading.RLock()
    first.acquire()
    second.acquire()
    again.acquire()
    again.acquire()

    def held() -> list[tuple[str, int]]:
        taken = read(flight)
        thread = named(taken, "MainThread")
        assert thread is not None
        return [(label(taken, hold.object), hold.count) for hold in thread.holds]

    assert [("first", 1), ("second", 1), ("again", 2)] == held()
    first.release()
    assert [("second", 1), ("again", 2)] == held()
    other = threading.Thread(target=second.release)
    other.start()
    other.join()
    again.release()
    assert [("again", 1)] == held()
    again.release()
    assert [] == held()


def test_many_holds(flight: Path) -> None:
    """Beyond 32 locks held, the snapshot says that some are missing; all of them can be given back."""
    locks = [threading.RLock() for _ in range(40)]
    for lock in locks:
        lock.acquire()
        lock.acquire()
    taken = read(flight)
    for lock in locks:
        lock.release()
        lock.release()
    thread = named(taken, "MainThread")
    assert thread is not None
    assert (32, (layout.LIMITS[layout.HOLDS_FULL],)) == (len(thread.holds), taken.incomplete)
    with locks[0]:
        after = named(read(flight), "MainThread")
    assert after is not None
    assert 1 == len(after.holds)


def test_dead_owner(flight: Path) -> None:
    """A thread that ended with a lock stays in the snapshot with its hold."""
    lock = threading.Lock()
    thread = threading.Thread(target=lock.acquire, name="gone")
    thread.start()
    thread.join()
    for _ in range(20):
        other = threading.Thread(target=int)
        other.start()
        other.join()
    taken = read(flight)
    seen = named(taken, "gone")
    assert seen is not None
    assert (False, ["lock"]) == (seen.alive, [label(taken, hold.object) for hold in seen.holds])
    lock.release()


def test_slot_of_a_dead_owner(flight: Path) -> None:
    """Its slot is free once another thread has given back the one lock and the other is gone."""
    lock, others, mine = threading.Lock(), [threading.RLock()], []

    def take() -> None:
        mine.append(local.me)
        lock.acquire()
        others[0].acquire()

    thread = threading.Thread(target=take, name="gone")
    thread.start()
    thread.join()
    until(flight, lambda taken: (seen := named(taken, "gone")) is not None and not seen.alive)
    (me,) = mine
    steps = [me.place in recorder.ended]
    lock.__exit__(None, None, None)
    steps.append(me.place in recorder.ended)
    others.clear()

    assert [False, False, True] == [*steps, me.place in recorder.ended]


def test_shared_places(flight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object beyond the table's size leaves no place to others when it dies: it had none of its own."""
    monkeypatch.setattr(recorder, "fresh_objects", itertools.count(layout.MOST_OBJECTS - 1))
    monkeypatch.setattr(recorder, "dead_objects", deque())
    flag = threading.Event()
    flag.set()
    things: list[object] = [threading.Lock(), threading.RLock(), queue.SimpleQueue(), flag]
    del flag
    things.clear()

    assert [layout.MOST_OBJECTS - 1] == list(recorder.dead_objects)


def test_names(flight: Path) -> None:
    """A rename is seen, by the system too; the main thread's name in the system stays the process's."""
    gate, renamed = threading.Event(), threading.Event()

    def body() -> None:
        threading.current_thread().name = "second name that is long"
        renamed.set()
        gate.wait()

    thread = threading.Thread(target=body, name="first")
    thread.start()
    renamed.wait()
    comm = Path(f"/proc/self/task/{thread.native_id}/comm").read_text(encoding="utf-8").strip()
    mine = Path("/proc/self/comm").read_text(encoding="utf-8").strip()
    taken = read(flight)
    gate.set()
    thread.join()
    assert ("second name tha", True) == (comm, mine != "MainThread")
    assert [None, True] == [
        named(taken, "first"),
        named(taken, "second name that is long") is not None,
    ]


def _in_order(taken: Snapshot) -> dict[str, int]:
    """Walk through the ring; return what is left in the queues."""
    held: int | None = None
    there = {"Queue": 0, "SimpleQueue": 0}
    for entry in taken.ring:
        kind, _, verb = entry.operation.partition(".")
        if label(taken, entry.object) == "lock":
            assert (None if verb == "acquire" else entry.slot) == held
            held = entry.slot if verb == "acquire" else None
        elif kind in there:
            there[kind] += {"put": 1, "get": -1}.get(verb, 0)
            assert there[kind] >= 0
    return there


def test_order(flight: Path) -> None:
    """Entries of one object stand in their true order: who acquired releases before the next one acquires."""
    lock = threading.Lock()
    jobs: queue.Queue[int] = queue.Queue()
    simple: queue.SimpleQueue[int] = queue.SimpleQueue()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def put() -> None:
        for number in range(60):
            with lock:
                pass
            jobs.put(number)
            simple.put(number)

    def get() -> None:
        for _ in range(60):
            with lock:
                pass
            jobs.get()
            simple.get()

    threads = [threading.Thread(target=target) for target in (put, get, put, get)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(before)
    assert {"Queue": 0, "SimpleQueue": 0} == _in_order(read(flight))


def test_values(flight: Path) -> None:
    """Permits, lengths, arrivals and flags are told of, with their limits."""
    things = Things()
    things.jobs.put(1)
    things.permits.acquire()
    things.flag.set()
    things.simple.put(1)
    values = {thing.label: (thing.value, thing.limit) for thing in read(flight).objects}
    assert [(1, 1), (0, 1), (1, None), (1, None), (0, 2)] == [
        values[f"Things.{name}"] for name in ("jobs", "permits", "flag", "simple", "barrier")
    ]


def test_notes(flight: Path) -> None:
    """A program's notes are read at any time, the last value of each."""
    note("phase", "setup")
    note("phase", "active")
    note("seed", "7")
    assert {"phase": "active", "seed": "7"}.items() <= read(flight).notes.items()


def test_counts_beyond_an_entry(flight: Path) -> None:
    """A thread that goes on for days makes more operations than an entry's field can count: no error, no lock kept."""
    lock, again = threading.Lock(), threading.RLock()
    taken: list[bool] = []

    def work() -> None:
        local.me.ops = (1 << 32) - 1
        for each in (lock, again):
            with each:
                pass
            taken.append(each.acquire(blocking=False))
            each.release()

    thread = threading.Thread(target=work, name="long")
    thread.start()
    thread.join()

    long = named(read(flight), "long")
    assert [True, True] == taken
    assert long is not None
    assert (1 << 32) < long.operations


@pytest.mark.parametrize(
    "make",
    [
        lambda: queue.Queue(-1),
        lambda: queue.Queue(1 << 70),
        lambda: threading.Semaphore(1 << 70),
        lambda: threading.BoundedSemaphore(1 << 70),
    ],
    ids=["endless queue", "huge queue", "semaphore", "bounded semaphore"],
)
def test_limits_beyond_the_record(flight: Path, make: Callable[[], object]) -> None:
    """A number that the record has no room for does not disturb the program."""
    made = make()
    if isinstance(made, queue.Queue):
        made.put(1)
        assert 1 == made.get()
    else:
        assert isinstance(made, threading.Semaphore)
        with made:
            pass
