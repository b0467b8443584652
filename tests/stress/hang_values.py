"""Snapshots made by hand, for tests of the hang report."""

from __future__ import annotations

from verify.observe.snapshot import (
    Entry,
    Frame,
    Hold,
    Notify,
    ObjectState,
    Snapshot,
    ThreadState,
    Wait,
)

NOW = 100_000_000_000
SECOND = 1_000_000_000
PID = 4000
SITE = Frame("app.py", 7, "move")


def wait(
    operation: str, thing: int = 0, timeout_s: float | None = None, ago_s: float = 5.0
) -> Wait:
    timeout = None if timeout_s is None else int(timeout_s * SECOND)
    return Wait(thing, operation, NOW - int(ago_s * SECOND), timeout, (SITE,))


def thread(
    slot: int,
    name: str,
    waiting: Wait | None = None,
    *,
    holds: tuple[int, ...] = (),
    alive: bool = True,
    role: str = "thread",
    daemon: bool = False,
) -> ThreadState:
    return ThreadState(
        slot=slot,
        ident=900 + slot,
        native_id=PID + slot - 1,
        name=name,
        role=role,
        alive=alive,
        daemon=daemon,
        started_ns=NOW - 60 * SECOND,
        ended_ns=None if alive else NOW - 5 * SECOND,
        operations=3,
        last_ns=NOW - 5 * SECOND,
        waiting=waiting,
        holds=tuple(Hold(each, NOW - 6 * SECOND, 1, (SITE,)) for each in holds),
        target="move",
    )


def thing(
    number: int,
    kind: str,
    label: str,
    *,
    owner: int | None = None,
    value: int | None = None,
    limit: int | None = None,
    lock: int | None = None,
    notify: Notify | None = None,
) -> ObjectState:
    return ObjectState(number, kind, label, SITE, owner, value, limit, lock, notify)


def entry(
    seq: int,
    slot: int,
    operation: str,
    number: int,
    *,
    result: bool | None = None,
    line: int = 1,
    ago_s: float = 6.0,
) -> Entry:
    ns = NOW - int(ago_s * SECOND) + seq
    return Entry(seq, ns, slot, operation, number, result, Frame("app.py", line, "f"))


def snapshot(
    threads: tuple[ThreadState, ...],
    objects: tuple[ObjectState, ...] = (),
    ring: tuple[Entry, ...] = (),
    *,
    pid: int = PID,
    notes: dict[str, str] | None = None,
) -> Snapshot:
    return Snapshot(
        pid=pid,
        ppid=1,
        argv=("python", "app.py"),
        python="3.11.7",
        started_ns=NOW - 60 * SECOND,
        taken_ns=NOW,
        progress=len(ring),
        recorded=True,
        gil_free=False,
        threads=threads,
        objects=objects,
        ring=ring,
        notes=notes or {},
    )


def abba() -> Snapshot:
    """Two threads that hold one lock each and want the other's; the main thread joins the first."""
    return snapshot(
        (
            thread(1, "MainThread", wait("Thread.join", 3), role="main"),
            thread(2, "one", wait("Lock.acquire", 2), holds=(1,)),
            thread(3, "two", wait("Lock.acquire", 1), holds=(2,)),
        ),
        (
            thing(1, "Lock", "savings", owner=2),
            thing(2, "Lock", "current", owner=3),
            thing(3, "Thread", "one", value=2),
        ),
        (entry(0, 2, "Lock.acquire", 1), entry(1, 3, "Lock.acquire", 2)),
        notes={"migration.phase": "stage 3"},
    )
