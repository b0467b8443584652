"""The diagnosis: each verdict from a recording made by hand, and the three forms of a report."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stress.hang import VERDICTS, certain, diagnose, html, schema, stacks, text
from tests.stress.hang_values import (
    NOW,
    PID,
    SECOND,
    SITE,
    abba,
    entry,
    snapshot,
    thing,
    thread,
    wait,
)
from verify.backtraces import ProcessDump, StackFrame, ThreadDump
from verify.observe.snapshot import Notify

if TYPE_CHECKING:
    from verify.observe.snapshot import Entry, Snapshot, ThreadState

JOIN = wait("Thread.join", 9)


def main_joins(slot: int = 2) -> tuple[object, ...]:
    return thread(1, "MainThread", JOIN, role="main"), thing(9, "Thread", "worker", value=slot)


def one_waits(operation: str, *objects: object, timeout_s: float | None = None) -> Snapshot:
    """A main thread that joins `worker`, which waits for object 1."""
    main, target = main_joins()
    worker = thread(2, "worker", wait(operation, 1, timeout_s))
    return snapshot((main, worker), (target, *objects))  # type: ignore[arg-type]  # as made above


def dump(*threads: ThreadDump, pid: int = PID) -> ProcessDump:
    return ProcessDump(pid, "py-spy --native", threads)


def dumped(native_id: int, *frames: StackFrame, gil: bool = False) -> ThreadDump:
    return ThreadDump(native_id, None, "", frames, active=False, owns_gil=gil)


def told(report_of: Snapshot, *dumps: ProcessDump) -> tuple[str, str, str]:
    report = diagnose([report_of], dumps)
    return report.verdict, report.kind, report.cause


def test_lock_cycle() -> None:
    """A cycle of locks names both threads, the locks and where they were taken."""
    report = diagnose([abba()], headline="no progress for 5 s")

    assert ("deadlock", "deadlock") == (report.verdict, report.kind)
    assert "2 threads wait for each other: one -> two -> one (Lock.acquire)" == report.cause
    assert ("one", "two", "one") == report.cycle
    assert "one waits in Lock.acquire for current, which two must give back first" in report.details
    (one,) = (row for row in report.threads if row.name == "one")
    assert ("Lock.acquire current", "two", 5.0) == (one.waits_for, one.holder, one.since_s)
    assert ("savings", 6.0, (StackFrame("app.py", 7, "move"),)) == (
        one.held[0].name,
        one.held[0].since_s,
        one.held[0].stack,
    )


def test_holder_is_told_whatever_the_name() -> None:
    """A lock whose name has "join" in it is held by somebody like any other, a joined thread by none."""
    joins = thread(1, "MainThread", wait("Thread.join", 9), role="main")
    states = (joins, thread(2, "worker", wait("Lock.acquire", 1)), thread(3, "owner", holds=(1,)))
    objects = (thing(1, "Lock", "joined", owner=3), thing(9, "Thread", "worker", value=2))

    report = diagnose([snapshot(states, objects)])

    said = {row.name: text.doing(row) for row in report.threads}
    assert "waits, Lock.acquire joined, held by owner, since 5.000 s" == said["worker"]
    assert "held by" not in said["MainThread"]


def test_simple_queue_is_read_off_its_c_function() -> None:
    """Its lock lies deeper on the stack than what it is for."""
    names = ("_queue_SimpleQueue_get", "PyThread_acquire_lock_timed", "sem_clockwait")
    frames = (StackFrame(name, 0, name, native=True) for name in names)

    assert "SimpleQueue.get" == stacks.operation(dumped(PID, StackFrame("app.py", 3, "f"), *frames))


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("app.Server.listen", "thread, runs app.Server.listen"),
        ("mig.incoming.Incoming.run", "receives the guest"),
    ],
)
def test_roles_are_the_engines(target: str, expected: str) -> None:
    """A thread of any program may be called as one of the engine's is."""
    state = replace(thread(2, "incoming", wait("Lock.acquire", 1)), target=target)

    (row,) = diagnose([snapshot((state,))]).threads

    assert expected == row.role


def test_lock_taken_twice() -> None:
    """A lock that its holder waits for is a self-deadlock."""
    state = thread(1, "MainThread", wait("Lock.acquire", 1), holds=(1,), role="main")

    verdict, kind, cause = told(snapshot((state,), (thing(1, "Lock", "lock", owner=1),)))

    assert ("deadlock", "self-deadlock") == (verdict, kind)
    assert "MainThread waits in Lock.acquire for lock, which it holds itself" == cause


def test_time_out_breaks_a_cycle() -> None:
    """A cycle with a time-out in it will end: merely slow."""
    shot = abba()
    one = replace(shot.threads[1], waiting=wait("Lock.acquire", 2, timeout_s=60))

    verdict, _, cause = told(replace(shot, threads=(shot.threads[0], one, shot.threads[2])))

    assert "merely slow" == verdict
    assert "goes on in 55.0 s" in cause


def test_timer_of_an_event_loop_is_waited_for() -> None:
    """A loop that will wake up by itself may set what others wait for; a heartbeat in a daemon thread will not."""
    main = thread(1, "MainThread", wait("Future.result", 1), role="main")
    worker = thread(3, "worker", wait("Future.result", 1))

    def verdict(operation: str) -> str:
        daemon = thread(2, "daemon", wait(operation, timeout_s=60), daemon=True)
        return told(snapshot((main, daemon, worker), (thing(1, "Future", "answer"),)))[0]

    assert ("merely slow", "lost wake-up") == (verdict("Selector.select"), verdict("Event.wait"))


def test_dead_owner() -> None:
    """A lock whose holder has ended."""
    main = thread(1, "MainThread", wait("Lock.acquire", 1), role="main")
    owner = thread(2, "owner", holds=(1,), alive=False)

    verdict, _, cause = told(snapshot((main, owner), (thing(1, "Lock", "lock", owner=2),)))

    assert "lock held by a dead thread" == verdict
    assert "whose holder owner has ended without giving it back" in cause


def test_join_cycle() -> None:
    """Threads that wait for each other's end."""
    threads = (
        thread(2, "first", wait("Thread.join", 2)),
        thread(3, "second", wait("Thread.join", 1)),
    )
    objects = (thing(1, "Thread", "first", value=2), thing(2, "Thread", "second", value=3))

    assert (
        "deadlock",
        "join cycle",
        "2 threads wait for each other: first -> second -> first (Thread.join)",
    ) == told(snapshot(threads, objects))


def test_join_of_an_ended_thread_is_over() -> None:
    """To wait for the end of a thread that has ended is no deadlock."""
    main, target = main_joins()
    shot = snapshot((main, thread(2, "worker", alive=False)), (target,))  # type: ignore[arg-type]  # as made above

    assert not certain(shot, 1.0)


def test_semaphore() -> None:
    """Permits that waiting threads hold."""
    threads = tuple(
        thread(slot, name, wait("Semaphore.acquire", 1), holds=(1,))
        for slot, name in ((2, "one"), (3, "two"))
    )

    verdict, _, cause = told(snapshot(threads, (thing(1, "Semaphore", "permits", value=0),)))

    assert "deadlock" == verdict
    assert "(Semaphore.acquire)" in cause


def test_permits_by_the_recorded_operations() -> None:
    """Who took a permit and keeps it is known from the ring; one given by another thread is a signal."""
    threads = tuple(
        thread(slot, name, wait("Semaphore.acquire", 1)) for slot, name in ((2, "one"), (3, "two"))
    )
    objects = (thing(1, "Semaphore", "permits", value=0),)
    ring = (entry(0, 2, "Semaphore.acquire", 1), entry(1, 3, "Semaphore.acquire", 1))
    given = (*ring, entry(2, 4, "Semaphore.release", 1), entry(3, 2, "Semaphore.acquire", 1))

    assert "deadlock" == told(snapshot(threads, objects, ring))[0]
    assert "lost wake-up" == told(snapshot(threads, objects, given))[0]


def test_pool_that_waits_for_itself() -> None:
    """All workers wait for a future that only they could run."""
    threads = (
        thread(1, "MainThread", wait("Future.result", 2), role="main"),
        thread(2, "pool_0", wait("Future.result", 1), role="pool worker"),
    )
    objects = (thing(1, "Future", "inner", limit=1), thing(2, "Future", "outer", limit=1))
    others = (thing(1, "Future", "inner"), thing(2, "Future", "outer", limit=1))

    assert ("deadlock", "thread-pool starvation") == told(snapshot(threads, objects))[:2]
    assert "lost wake-up" == told(snapshot(threads, others))[0]
    assert not certain(snapshot(threads, others), 1.0)


def test_lost_wake_up() -> None:
    """A condition that was notified while nobody waited says so."""
    early = Notify(1, NOW - 7 * SECOND, 0, (SITE,))
    shot = one_waits("Condition.wait", thing(1, "Condition", "ready", notify=early))

    verdict, _, cause = told(shot)

    assert "lost wake-up" == verdict
    assert cause.endswith("it was notified by MainThread while nobody waited")
    row = diagnose([shot]).threads[1]
    assert "7.000 s ago by MainThread at app.py:7 move; nobody waited" == row.notify


def test_empty_queue() -> None:
    """Nobody puts an item."""
    shot = one_waits("Queue.get", thing(1, "Queue", "jobs", value=0))

    assert (
        "lost wake-up",
        "queue starvation",
        "worker waits in Queue.get for jobs, and nobody is left to put an item",
    ) == told(shot)


def test_barrier() -> None:
    """A party is missing."""
    shot = one_waits("Barrier.wait", thing(1, "Barrier", "meeting", value=0, limit=3))

    assert "where 1 of 3 have come" in told(shot)[2]


def test_socket() -> None:
    """A read that does not return is outside the program, also where another thread waits for its result."""
    assert ("blocked I/O", "blocked I/O") == told(one_waits("socket.recv"))[:2]
    main = thread(1, "MainThread", wait("Event.wait", 1), role="main")
    reader = thread(2, "reader", wait("socket.recv"))
    report = diagnose([snapshot((main, reader), (thing(1, "Event", "answered"),))])

    assert "blocked I/O" == report.verdict
    assert (
        "MainThread waits in Event.wait for answered, perhaps for its result",
    ) == report.details


def test_server_that_idles_is_not_blamed() -> None:
    """A selector is listed after a wait that nobody ends."""
    main, target = main_joins()
    worker = thread(2, "worker", wait("Event.wait", 1))
    loop = thread(3, "loop", wait("Selector.select"))
    shot = snapshot((main, worker, loop), (target, thing(1, "Event", "done")))  # type: ignore[arg-type]  # as made above

    assert "lost wake-up" == told(shot)[0]


def test_interpreter_lock_held() -> None:
    """A C call that keeps the interpreter lock is named, with its site."""
    native = StackFrame("libffi.so", 0, "ffi_call", native=True)
    inside = StackFrame("libc.so", 0, "sleep", native=True)
    holder = dumped(PID, StackFrame("app.py", 3, "call"), native, inside, gil=True)

    verdict, _, cause = told(snapshot((thread(1, "MainThread", role="main"),)), dump(holder))

    assert "GIL held" == verdict
    assert "MainThread holds the interpreter lock in the C call sleep at app.py:3 call" in cause
    assert (
        "blocked C call"
        == told(
            snapshot((thread(1, "MainThread", role="main"),)), dump(replace(holder, owns_gil=False))
        )[1]
    )


def test_cycle_is_surer_than_a_sight_of_the_interpreter_lock() -> None:
    """A thread seen in C code with the lock may be there for a moment; a cycle is for ever."""
    holder = dumped(PID, StackFrame("lib.so", 0, "sem_post", native=True), gil=True)

    assert "deadlock" == told(abba(), dump(holder))[0]
    main = snapshot((thread(1, "MainThread", role="main"),))
    assert "GIL held" == told(main, dump(holder))[0]


def test_livelock() -> None:
    """Threads that are refused what the other takes, again and again."""
    ring: list[Entry] = []
    for turn in range(4):
        for slot, own, other in ((2, 1, 2), (3, 2, 1)):
            ring.append(entry(len(ring), slot, "Lock.acquire", own, line=1 + turn % 2, ago_s=0.001))
            ring.append(
                entry(len(ring), slot, "Lock.acquire", other, result=False, line=9, ago_s=0.001)
            )
    shot = snapshot(
        (thread(2, "one"), thread(3, "two")),
        (thing(1, "Lock", "left"), thing(2, "Lock", "right")),
        tuple(ring),
    )

    verdict, _, cause = told(shot)

    assert "livelock" == verdict
    assert "one was refused right 4 times at app.py:9, and never given it" in cause


def test_computing_thread() -> None:
    """One that changes is slow, one that does not spins, with the locks it holds."""
    shot = snapshot((thread(2, "worker", holds=(1,)),), (thing(1, "Lock", "lock", owner=2),))
    seen = dump(dumped(PID + 1, StackFrame("app.py", 5, "loop")))
    share = {PID + 1: 0.9}

    spin = diagnose([shot], [seen], activity=share)
    slow = diagnose([shot], [seen], activity=share, moving=[PID + 1])

    assert ("spin", ("worker holds lock meanwhile",)) == (spin.verdict, spin.details)
    assert "worker computes at app.py:5 loop" in spin.cause
    assert "merely slow" == slow.verdict


def test_tracer_is_not_the_program() -> None:
    """A loop that is seen while coverage's tracer takes a lock of its own spins all the same."""
    shot = snapshot((thread(2, "worker"),), ())
    frames = [StackFrame("app.py", 5, "loop"), StackFrame("t.c", 0, "CTracer_trace", native=True)]
    frames.append(StackFrame("coverage/collector.py", 224, "Collector.lock_data"))
    frames.append(StackFrame("python", 0, "lock_PyThread_acquire_lock", native=True))

    spin = diagnose([shot], [dump(dumped(PID + 1, *frames, gil=True))], activity={PID + 1: 0.9})

    assert "spin" == spin.verdict
    assert "worker computes at app.py:5 loop" in spin.cause


def test_working_program_is_slow() -> None:
    """At a time limit a program that makes operations is slow, whatever its other threads wait for; a poll is none."""
    waits = one_waits("Event.wait", thing(1, "Event", "done"))

    assert (
        "merely slow" == told(replace(waits, ring=(entry(0, 1, "Lock.acquire", 5, ago_s=0.1),)))[0]
    )
    assert (
        "lost wake-up"
        == told(replace(waits, ring=(entry(0, 1, "Lock.acquire", 5, result=False, ago_s=0.1),)))[0]
    )


def test_strongest_process_is_blamed() -> None:
    """A parent that waits for its child is not to blame for the child's deadlock."""
    parent = dump(dumped(77, StackFrame("libc.so", 0, "os_waitpid", native=True)), pid=77)

    report = diagnose([abba()], [parent, dump()], commands={77: ("run",)})

    assert (PID, "deadlock", {"migration.phase": "stage 3"}) == (
        report.pid,
        report.verdict,
        report.notes,
    )


@pytest.mark.parametrize(
    "frame",
    [
        StackFrame("libc.so", 0, "os_waitpid", native=True),
        StackFrame("/lib/python3.11/subprocess.py", 2021, "_communicate"),
    ],
)
def test_child_that_sleeps_is_slow(frame: StackFrame) -> None:
    """A parent that waits for its child's end gets on as the child does."""
    parent = dump(dumped(77, frame, StackFrame("libc.so", 0, "poll", native=True)), pid=77)
    sleeps = snapshot((thread(1, "MainThread", wait("Event.wait", timeout_s=60), role="main"),))

    report = diagnose([sleeps], [parent, dump()], commands={77: ("run",)})

    assert (PID, "merely slow") == (report.pid, report.verdict)


def test_without_recording() -> None:
    """Stacks alone: locks without holders are told as what they are."""
    lock = StackFrame("lib.so", 0, "lock_PyThread_acquire_lock", native=True)
    frames = (StackFrame("app.py", 3, "f"), lock)

    report = diagnose([], [dump(dumped(PID, *frames), dumped(PID + 1, *frames))])

    assert "deadlock" == report.verdict
    assert "not recorded: start the program under `stage3 watch" in report.cause


def test_nothing_known() -> None:
    """With no evidence there still is a report, and it says so."""
    report = diagnose([], [ProcessDump(5, "", (), ("py-spy is not installed",))])

    assert ("unknown", ("process 5: py-spy is not installed",)) == (report.kind, report.problems)
    assert "unknown" == diagnose([]).kind


def test_certain() -> None:
    """A cycle is certain after the limit, whatever other threads do, and not before."""
    assert certain(abba(), 4.9)
    assert not certain(abba(), 5.1)
    assert not certain(one_waits("Queue.get", thing(1, "Queue", "jobs")), 1.0)


def test_lock_that_is_a_signal_is_not_certain() -> None:
    """A lock that its taker waits for may be given back by a thread that works, a dead thread's handed on."""
    waiting = thread(2, "waiting", wait("Lock.acquire", 1), holds=(1,))
    heir = thread(2, "heir", wait("Lock.acquire", 1))
    dead = thread(4, "dead", holds=(1,), alive=False)
    working = thread(3, "working")

    def sure(owner: int, *threads: ThreadState) -> bool:
        return certain(snapshot(threads, (thing(1, "Lock", "signal", owner=owner),)), 1.0)

    assert (True, False) == (sure(2, waiting), sure(2, waiting, working))
    assert (True, False) == (sure(4, heir, dead), sure(4, heir, dead, working))


def test_text() -> None:
    """Verdict first, the line to type next last, control characters escaped."""
    report = diagnose(
        [replace(abba(), argv=("python", "\x1b[2J"))],
        [dump()],
        attached={"other": "line\x07"},
        problems=["no pystack"],
        repro="reproduce: stage3 reproduce hang-1.json",
    )

    lines = text.show(report).splitlines()

    assert lines[0].startswith("HANG: deadlock: 2 threads wait for each other")
    assert "reproduce: stage3 reproduce hang-1.json" == lines[-1]
    assert "    holds savings, taken 6.000 s ago at" in lines
    assert "  migration.phase: stage 3" in lines
    assert any("Lock.acquire savings" in line for line in lines)
    assert "\x1b" not in "\n".join(lines)
    assert "  line\\x07" in lines


def test_page_forbids_everything_and_escapes() -> None:
    """No script, no request; names from the program are text."""
    evil = '<script>alert(1)</script>"'
    shot = abba()
    named = tuple(replace(each, name=evil) for each in shot.threads)
    report = diagnose([replace(shot, threads=named, notes={evil: evil})], attached={evil: evil})

    page = html.page(replace(report, details=(evil,), problems=(evil,), repro=evil))

    assert "default-src 'none'" in page
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_json_round_trip() -> None:
    """Nothing is lost, and the snapshot inside is whole."""
    report = diagnose([abba()], [dump(dumped(PID, StackFrame("a", 1, "f")))], attached={"a": "b"})

    again = schema.from_json(schema.to_json(report))

    assert report == again
    assert abba() == again.snapshots[0]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("verdict", "bad luck", "verdict: 'bad luck' is not one of GIL held, deadlock"),
        ("pid", -1, "pid: -1 is not between 0 and"),
        ("pid", True, "pid: True is not a whole number"),
        ("cause", 5, "cause: 5 is not a text"),
        ("cycle", "no list", "cycle: 'no list' is not a list of at most 100000"),
        ("notes", {"a": 1}, "notes['a']: 1 is not a text"),
        ("threads", [{}], "threads[0].pid: is missing"),
        ("snapshots", [{}], "snapshots[0]: snapshot: no"),
        ("version", 2, "version: 2, but this stage3 reads version 1"),
        ("format", "x", 'format: this is not a "stage3-hang" file'),
        ("more", 1, "report: unknown field 'more'"),
    ],
)
def test_wrong_field_is_named(field: str, value: object, said: str) -> None:
    """Each refusal names the field and says what to do."""
    document = json.loads(schema.to_json(diagnose([abba()])))
    document[field] = value

    with pytest.raises(schema.HangError) as error:
        schema.from_json(json.dumps(document))

    assert str(error.value).startswith(said)
    assert str(error.value).endswith(("unedited", "the stage3 that wrote it"))


DOCUMENT = schema.to_json(diagnose([abba()], [dump(dumped(PID, StackFrame("a", 1, "f")))]))


@settings(max_examples=60)
@given(st.data())
def test_damaged_json_is_refused(data: st.DataObject) -> None:
    """Whatever happens to the file, it is a report or a HangError."""
    at = data.draw(st.integers(0, len(DOCUMENT) - 1))
    cut = data.draw(st.integers(0, 9))
    put = data.draw(st.text(alphabet='{}[]",:0e-tnu\\', max_size=4))
    try:
        report = schema.from_json(DOCUMENT[:at] + put + DOCUMENT[at + cut :])
    except schema.HangError:
        return
    assert report.verdict in VERDICTS
