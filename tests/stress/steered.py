"""Programs for tests of steering, and recordings of them made by hand: each line of interest carries a mark."""

from __future__ import annotations

import threading
from pathlib import Path

from tests.stress.hang_values import NOW, SECOND, snapshot, thing
from verify.observe.snapshot import Entry, Frame, Snapshot, ThreadState, Wait

FILE = Path(__file__)


def crossing() -> None:
    """Two locks in opposite orders, and rounds before them in which nothing can go wrong."""
    first, second = threading.Lock(), threading.Lock()

    def one() -> None:
        for _ in range(3):
            with first:  # one-round
                pass
        first.acquire()  # one-first
        with second:  # one-second
            first.release()

    def two() -> None:
        for _ in range(3):
            with second:  # two-round
                pass
        second.acquire()  # two-second
        with first:  # two-first
            second.release()

    threads = [threading.Thread(target=one, name="one"), threading.Thread(target=two, name="two")]
    for thread in threads:
        thread.start()  # start
    for thread in threads:
        thread.join()  # join


def needs(_what: str) -> None:
    """Not a target: it wants an argument."""


def site(mark: str) -> Frame:
    """Return the place that carries `# mark`."""
    lines = FILE.read_text().splitlines()
    line = next(at for at, text in enumerate(lines, 1) if text.endswith(f"# {mark}"))
    function = mark.partition("-")[0]
    inner = function in {"one", "two"}
    return Frame(str(FILE), line, f"crossing.<locals>.{function}" if inner else "crossing")


ORDER = (
    (1, "Thread.start", "start"),
    (1, "Thread.start", "start"),
    (2, "Lock.acquire", "one-round"),
    (2, "Lock.release", "one-round"),
    (3, "Lock.acquire", "two-round"),
    (3, "Lock.release", "two-round"),
    *((2, "Lock.acquire", "one-round"), (2, "Lock.release", "one-round")) * 2,
    *((3, "Lock.acquire", "two-round"), (3, "Lock.release", "two-round")) * 2,
    (2, "Lock.acquire", "one-first"),
    (3, "Lock.acquire", "two-second"),
)


def entries(first: int = 1) -> tuple[Entry, ...]:
    """Return the recorded operations, those before number `first` lost."""
    return tuple(
        Entry(seq, NOW - 10 * SECOND + seq, slot, operation, 9 + min(seq, 2) if slot == 1 else 1, None, site(mark))
        for seq, (slot, operation, mark) in enumerate(ORDER, 1)
        if seq >= first
    )  # fmt: skip


def state(slot: int, name: str, operation: str, mark: str, *, role: str = "thread") -> ThreadState:
    """Return a thread that waits at a mark."""
    waiting = Wait(1, operation, NOW - 5 * SECOND, None, (site(mark),))
    return ThreadState(slot, slot, slot, name, role, True, False, 0, None, 5, NOW, waiting, (), "x")


def crossed(*, ring: tuple[Entry, ...] | None = None, notes: dict[str, str] | None = None) -> Snapshot:  # fmt: skip
    """Return a recording of `crossing` at its hang."""
    made = entries() if ring is None else ring
    main = state(1, "MainThread", "Thread.join", "join", role="main")
    one = state(2, "one", "Lock.acquire", "one-second")
    two = state(3, "two", "Lock.acquire", "two-first")
    return snapshot(
        (main, one, two),
        (
            thing(1, "Lock", "first", owner=2),
            thing(10, "Thread", "one", value=2),
            thing(11, "Thread", "two", value=3),
        ),
        made,
        notes=notes,
    )
