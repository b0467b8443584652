"""Traced primitives on real threads: nothing but the recording changes, and that ends without a trace."""

from __future__ import annotations

import asyncio
import copy
import gc
import logging
import pickle
import queue
import select
import selectors
import signal
import socket
import sys
import threading
import time
import types
from collections import Counter
from concurrent.futures import Future
from typing import TYPE_CHECKING

import pytest

from tests.verify.observing import LIMIT_S, Things, label, named, until, use
from verify import _real
from verify.observe import install, layout, locks, pages
from verify.observe.flight import read
from verify.observe.install import observed, start, stop
from verify.observe.locks import LOCK_TYPE, RLOCK_TYPE
from verify.observe.noise import Noise, parsed
from verify.observe.recorder import me, recorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


EARLY = threading.Lock()
AGAIN = threading.RLock()


class Early:
    """Has locks before any recording."""

    shared = threading.Lock()

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.cond = threading.Condition()
        self.jobs: queue.Queue[int] = queue.Queue()


KEPT = Early()


def test_early_objects(flight: Path) -> None:
    """Locks from before the recording are recorded, wherever they lie, and under the names they have there."""
    with EARLY, AGAIN, KEPT.lock, KEPT.cond, Early.shared:
        KEPT.cond.notify()
        taken = read(flight)
    thread = named(taken, "MainThread")
    assert thread is not None
    assert [
        f"{__name__}.EARLY",
        f"{__name__}.AGAIN",
        "Early.lock",
        "Condition._lock",
        "Early.shared",
    ] == [label(taken, hold.object) for hold in thread.holds]
    KEPT.jobs.put(1)
    KEPT.jobs.get()
    assert "Queue.put" in {entry.operation for entry in read(flight).ring}


def test_early_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`from threading import Lock` of before the recording makes traced locks during it, and real ones after."""
    module = types.ModuleType("early_import")
    exec("from threading import Lock as L, RLock\nfrom time import sleep as nap", vars(module))  # noqa: S102 - a module
    monkeypatch.setitem(sys.modules, "early_import", module)
    names = dict(vars(module))
    with observed(tmp_path):
        during = (type(module.L()), type(module.RLock()))
    assert (names, LOCK_TYPE, RLOCK_TYPE) == (
        dict(vars(module)),
        type(module.L()),
        type(module.RLock()),
    )
    assert ["Lock", "RLock"] == [kind.__name__ for kind in during]
    assert [True, True] == [kind.__module__ == "verify.observe.locks" for kind in during]


def _all_names() -> dict[tuple[str, str], object]:
    homes = [
        *(sys.modules[name] for name in ("threading", "_thread", "queue", "time", "select", "selectors", "socket")),
        threading.Condition, threading.Event, threading.Semaphore, threading.BoundedSemaphore, threading.Barrier,
        threading.Thread, queue.Queue, Future, socket.socket, selectors.EpollSelector, sys.modules[__name__],
    ]  # fmt: skip
    return {
        (getattr(home, "__name__", ""), name): value
        for home in homes
        for name, value in vars(home).items()
    }


def test_no_trace(tmp_path: Path) -> None:
    """After the end every name is what it was, and objects made meanwhile have real locks."""
    before = _all_names()
    meta = list(sys.meta_path)
    with observed(tmp_path):
        things = Things()
        use(things)
    after = _all_names()
    assert [] == [name for name, value in before.items() if after.get(name) is not value]
    assert before.keys() == after.keys()
    assert meta == sys.meta_path
    assert [LOCK_TYPE, RLOCK_TYPE, RLOCK_TYPE, LOCK_TYPE] == [
        type(each) for each in (
            things.lock, things.again, vars(things.cond)["_lock"], vars(things.jobs)["mutex"],
        )
    ]  # fmt: skip
    for thing in (
        things.cond,
        things.flag,
        things.permits,
        things.barrier,
        things.jobs,
        KEPT.cond,
        KEPT.jobs,
    ):
        assert "_stage3_seen" not in vars(thing)
    use(things)
    assert {type(EARLY), type(KEPT.lock), type(Early.shared)} == {LOCK_TYPE}


def test_start_twice(flight: Path, tmp_path: Path) -> None:
    """A second recording of the same process is refused; the first goes on."""
    with pytest.raises(
        RuntimeError, match=r"recorded already, into .*flight-.*; call stop\(\) first"
    ):
        start(tmp_path)
    assert flight == recorder.path


def test_again(tmp_path: Path) -> None:
    """Recordings can follow each other; a lock of the first one has its name in the second."""
    with observed(tmp_path):
        kept = threading.Lock()
        tuple_kept = (kept,)
    stop()
    (tmp_path / "second").mkdir()
    with observed(tmp_path / "second") as running:
        assert running.path is not None
        with tuple_kept[0]:
            taken = read(running.path)
    thread = named(taken, "MainThread")
    assert thread is not None
    assert ["kept"] == [label(taken, hold.object) for hold in thread.holds]


def outcome(call: Callable[[], object]) -> object:
    """Return a call's result, or its error."""
    try:
        return call()
    except BaseException as error:  # noqa: BLE001 - whatever it is, both must do it
        return (type(error).__name__, str(error))


LOCK_CALLS: list[Callable[..., object]] = [
    lambda lock: lock.acquire(),
    lambda lock: (lock.acquire(), lock.acquire(False)),
    lambda lock: (lock.acquire(), lock.acquire(True, 0)),
    lambda lock: (lock.acquire(1), lock.locked() if hasattr(lock, "locked") else None),
    lambda lock: lock.acquire(False, 1),
    lambda lock: lock.acquire(True, -2),
    lambda lock: lock.acquire(timeout=-2),
    lambda lock: lock.acquire(timeout=1e300),
    lambda lock: lock.acquire(timeout="1"),
    lambda lock: lock.acquire(timeout=float("nan")),
    lambda lock: lock.acquire(timeout=0.5),
    lambda lock: lock.release(),
    lambda lock: (lock.acquire(), lock.release(), lock.release()),
    lambda lock: (lock.__enter__(), lock.__exit__(None, None, None)),
    lambda lock: (lock.acquire(), lock._at_fork_reinit(), lock.acquire(False)),
    # By way of a module that is not swept: since 3.13 `threading.Lock` is this class, and names for it are replaced.
    lambda lock: isinstance(lock, locks.LOCK_TYPE),
    lambda lock: __import__("copy").copy(lock),
]


@pytest.mark.parametrize("call", LOCK_CALLS, ids=[str(place) for place in range(len(LOCK_CALLS))])
def test_same_as_real(flight: Path, call: Callable[..., object]) -> None:
    """Results and errors are those of the real locks, word for word but for a class's name."""
    for traced, real in ((threading.Lock, _real.allocate_lock), (threading.RLock, _real.RLock)):
        ours, theirs = outcome(lambda: call(traced())), outcome(lambda: call(real()))  # noqa: B023 - called at once
        assert str(theirs).replace("_thread.RLock", "RLock").replace("_thread.lock", "lock") == str(
            ours
        ).replace("_thread.RLock", "RLock").replace("_thread.lock", "lock")


def test_exception_between(flight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception that arrives while the hold is written leaves the lock free and nothing held."""
    lock, again = threading.Lock(), threading.RLock()

    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    for each in (lock, again):
        monkeypatch.setattr(locks, "_pack_hold", interrupted)
        with pytest.raises(KeyboardInterrupt):
            each.acquire()
        with pytest.raises(KeyboardInterrupt), each:
            pass
        monkeypatch.undo()
        assert each.acquire(blocking=False)
        each.release()
    thread = named(read(flight), "MainThread")
    assert thread is not None
    assert () == thread.holds


@pytest.mark.parametrize(
    "give_back",
    [lambda lock: lock.release(), lambda lock: lock.__exit__(None, None, None)],
    ids=["release", "with"],
)
def test_exception_while_giving_back(
    flight: Path, monkeypatch: pytest.MonkeyPatch, give_back: Callable[..., object]
) -> None:
    """An exception that arrives behind the hold's clearing leaves the lock free and nothing held."""

    def interrupted(*_: object) -> int:
        raise KeyboardInterrupt

    for each in (threading.Lock(), threading.RLock()):
        each.acquire()
        monkeypatch.setattr(locks, "_pack_entry", interrupted)
        with pytest.raises(KeyboardInterrupt):
            give_back(each)
        monkeypatch.undo()
        assert each.acquire(blocking=False)
        each.release()
    thread = named(read(flight), "MainThread")
    assert thread is not None
    assert () == thread.holds


def test_signal_handler(flight: Path) -> None:
    """A signal handler may take locks and use queues while the thread it interrupts does the same."""
    lock, other = threading.Lock(), threading.RLock()
    jobs: queue.SimpleQueue[int] = queue.SimpleQueue()
    ran = 0

    def handle(*_: object) -> None:
        nonlocal ran
        ran += 1
        with other:
            jobs.put(1)
            threading.Event().wait(0)
        signal.setitimer(signal.ITIMER_REAL, 0.0005)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005)
    things = Things()
    limit = _real.monotonic() + LIMIT_S
    while ran < 20 and _real.monotonic() < limit:
        with lock:
            use(things)
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    thread = named(read(flight), "MainThread")
    assert thread is not None
    assert (True, (), None) == (ran >= 20, thread.holds, thread.waiting)


class Careless:
    """Takes locks when it is collected."""

    lock = threading.RLock()
    collected = 0

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        with Careless.lock:
            Careless.collected += 1
        threading.Event().set()


def test_finalizers(flight: Path) -> None:
    """Objects whose finalizers take locks, collected at any moment, in any thread."""
    thresholds = gc.get_threshold()
    gc.set_threshold(3)

    def churn() -> None:
        for _ in range(20):
            Careless()
            with Careless.lock:
                threading.Condition()

    threads = [threading.Thread(target=churn) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.set_threshold(*thresholds)
    gc.collect()
    assert (60, []) == (
        Careless.collected,
        [hold for thread in read(flight).threads for hold in thread.holds],
    )


def test_growing_gives_up(flight: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that finds another one growing the tables goes on without a stack; it must not wait for the program."""
    monkeypatch.setattr(pages, "PATIENCE_S", 0.01)
    lock = threading.Lock()
    taken, release = _real.allocate_lock(), _real.allocate_lock()
    taken.acquire()
    release.acquire()

    def grow() -> None:
        with recorder.growing:
            taken.release()
            release.acquire()

    _real.start_new_thread(grow, ())
    taken.acquire()
    with lock:
        thread = named(read(flight), "MainThread")
    release.release()
    assert thread is not None
    assert [()] == [hold.stack for hold in thread.holds]
    with lock:
        thread = named(read(flight), "MainThread")
    assert thread is not None
    assert ["test_growing_gives_up"] == [hold.stack[0].function for hold in thread.holds]


def test_churn(flight: Path) -> None:
    """Threads by the hundred, objects by the thousand: the recording goes on."""
    for _ in range(30):
        threads = [threading.Thread(target=threading.Lock().acquire) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for _ in range(3000):
        threading.Event()
    taken = read(flight)
    assert () == taken.incomplete
    assert 300 <= sum(not thread.alive for thread in taken.threads)


class Napper:
    """Keeps functions of C as attributes."""

    def __init__(self) -> None:
        kind = type(self)
        kind.nap = time.sleep  # type: ignore[attr-defined]
        kind.look = select.select  # type: ignore[attr-defined]


def test_functions_of_c(flight: Path) -> None:
    """What stands for a function of C binds to no object and pickles by name, as that does."""
    napper = Napper()
    assert None is napper.nap(0)  # type: ignore[attr-defined]
    assert ([], [], []) == napper.look([], [], [], 0)  # type: ignore[attr-defined]
    for function in (time.sleep, select.select):
        assert function is pickle.loads(pickle.dumps(function))  # noqa: S301 - our own
        assert function is copy.copy(function)
        assert repr(function).startswith("<built-in function")


def test_toolkit_stays_out(flight: Path) -> None:
    """The toolkit's own locks and threads, and the import system's, are not recorded."""
    before = read(flight)
    lock = _real.allocate_lock()
    lock.acquire()
    _real.start_new_thread(lock.release, ())
    lock.acquire()
    sys.modules.pop("colorsys", None)
    import colorsys

    assert "colorsys" == colorsys.__name__
    after = read(flight)
    assert (before.progress, len(before.threads), len(before.objects)) == (
        after.progress, len(after.threads), len(after.objects),
    )  # fmt: skip


def test_logging_and_asyncio(flight: Path) -> None:
    """Logging, and an event loop with a pool, work as ever."""
    said: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    log = logging.Logger("observed")  # noqa: LOG001 - of this test alone
    log.addHandler(Handler())

    async def main() -> int:
        log.warning("hello")
        return await asyncio.to_thread(lambda: 7)

    assert (7, ["hello"]) == (asyncio.run(main()), said)


def test_low_level_thread(flight: Path) -> None:
    """A thread of `_thread` has a slot from its first operation to its end; wrong arguments are refused as ever."""
    import _thread

    lock, done = threading.Lock(), _real.allocate_lock()
    done.acquire()
    before = {thread.slot for thread in read(flight).threads}

    def body(text: str) -> None:
        with lock:
            done.release()

    _thread.start_new_thread(body, ("x",))
    done.acquire()
    taken = until(
        flight, lambda each: any(t.slot not in before and not t.alive for t in each.threads)
    )
    (seen,) = [thread for thread in taken.threads if thread.slot not in before]
    assert ("foreign", 2) == (seen.role, seen.operations)
    with pytest.raises(TypeError, match="first arg must be callable"):
        _thread.start_new_thread(1, ())  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        _thread.start_new_thread(body, [])  # type: ignore[call-overload] # wrong on purpose


def test_noise(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same seed gives each thread the same delays; another seed gives others; the interval is put back."""
    slept: dict[str, list[float]] = {}
    monkeypatch.setattr(
        _real,
        "sleep",
        lambda seconds: slept.setdefault(me().path, []).append(seconds),
    )

    def delays(seed: int) -> dict[str, list[float]]:
        slept.clear()
        noise = Noise(seed, probability=0.5, max_delay_s=0.1, switch_interval_s=0.001)
        with observed(tmp_path, noise=noise):
            assert 0.001 == sys.getswitchinterval()
            things = Things()
            threads = [
                threading.Thread(target=use, args=(Things(),), name=f"t{number}")
                for number in range(2)
            ]
            for thread in threads:
                thread.start()
                thread.join()
            use(things)
        return {name: list(each) for name, each in slept.items() if name != "main"}

    interval = sys.getswitchinterval()
    first, second, other = delays(1), delays(1), delays(2)
    assert interval == sys.getswitchinterval()
    assert {"main/1", "main/2"} == first.keys()
    assert (first, False, False) == (second, first == other, first["main/1"] == first["main/2"])
    assert all(0 <= seconds <= 0.1 for each in first.values() for seconds in each)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"probability": 2}, "noise: probability 2, give a number from 0 to 1"),
        ({"max_delay_s": -1}, "noise: max_delay_s -1, give seconds from 0 to 60"),
        ({"switch_interval_s": 0}, "noise: switch_interval_s 0, give seconds up to 60"),
    ],
)
def test_noise_refused(keywords: dict[str, float], message: str) -> None:
    """Numbers that make no sense are named."""
    with pytest.raises(ValueError, match=message):
        Noise(1, **keywords)


def test_noise_text() -> None:
    """Noise survives an environment variable, and what is none is named."""
    for noise in (Noise(7), Noise(7, 0.5, 0.25, 0.125)):
        assert noise == parsed(noise.text())
    with pytest.raises(ValueError, match="noise: 'x', give SEED,PROBABILITY"):
        parsed("x")


def test_rows_are_complete() -> None:
    """The file's vocabulary has no repeats, and no name is patched twice."""
    names = [*layout.OPERATIONS, *(f"{row.owner}.{row.name}" for row in install.rows())]

    assert [] == [name for name, times in Counter(names).items() if times > 1]
