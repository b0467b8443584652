"""Locks that are older than the check: controlled during it, untouched after it."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from verify import RandomWalk, explore
from verify.explore import Verdict
from verify.program import of

from . import zoo

if TYPE_CHECKING:
    import pytest

GLOBAL = threading.Lock()
REENTRANT = threading.RLock()
CONDITION = threading.Condition()
READY = threading.Event()


class Account:
    """An object with a lock of its own, made at import."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.balance = 0


ACCOUNT = Account()


class Worker(threading.Thread):
    """A subclass that is older than the check."""

    def run(self) -> None:
        """Take all three locks, then log."""
        with GLOBAL, ACCOUNT.lock, REENTRANT:
            ACCOUNT.balance += 1
        logging.getLogger("stage3.test").warning("done")


def uses_them_all() -> None:
    ACCOUNT.balance = 0
    READY.clear()
    workers = [Worker(), Worker()]
    for worker in workers:
        worker.start()
    with CONDITION:
        CONDITION.wait(0.1)
        CONDITION.notify_all()
    for worker in workers:
        worker.join()
    READY.set()
    assert READY.is_set()
    assert ACCOUNT.balance == 2


def opposite_order() -> None:
    def one() -> None:
        with GLOBAL, ACCOUNT.lock:
            pass

    def two() -> None:
        with ACCOUNT.lock, GLOBAL:
            pass

    zoo.together(one, two)


def pool() -> None:
    with ThreadPoolExecutor(2) as executor:
        assert list(executor.map(abs, range(3))) == [0, 1, 2]


def test_old_locks_are_controlled() -> None:
    """Programs that use locks, conditions, thread classes and loggers from before run under control."""
    assert Verdict.NOT_FOUND == explore(of(uses_them_all), RandomWalk(1), executions=200).verdict


def test_thread_pools_are_controlled() -> None:
    """The standard library's own global locks do not stop a thread pool."""
    assert Verdict.NOT_FOUND == explore(of(pool), RandomWalk(1), executions=100).verdict


def test_deadlock_of_old_locks_is_found() -> None:
    """A deadlock between two locks made at import is found like any other, and replays."""
    (group,) = explore(of(opposite_order), RandomWalk(1), executions=200).groups.values()

    assert ("deadlock", "") == (group.finding.cause, group.wrong)


def test_the_real_locks_come_back() -> None:
    """After a check, failed or not, every lock is the one it was, and free."""
    before = (GLOBAL, ACCOUNT.lock, REENTRANT, vars(CONDITION)["_lock"], CONDITION.acquire)
    explore(of(opposite_order), RandomWalk(1), executions=50)
    explore(of(uses_them_all), RandomWalk(1), executions=5)

    after = (GLOBAL, ACCOUNT.lock, REENTRANT, vars(CONDITION)["_lock"], CONDITION.acquire)
    assert before == after
    assert [type(each) for each in before] == [type(each) for each in after]
    assert not GLOBAL.locked()
    assert CONDITION.acquire(blocking=False)
    CONDITION.release()


class Proxy:
    """An object that shows another one's attributes, as the proxies of lazily imported modules do."""

    def __getattribute__(self, name: str) -> object:
        return getattr(str, name)


def test_object_that_hides_its_attributes() -> None:
    """Its lock is adopted, and comes back."""
    proxy, real = Proxy(), threading.Lock()
    object.__setattr__(proxy, "lock", real)

    state = explore(of(opposite_order), RandomWalk(1), executions=5)

    assert 5 == state.executions
    assert real is object.__getattribute__(proxy, "lock")


def test_uncontrolled_threads_get_the_real_lock() -> None:
    """A thread outside the check that takes an adopted lock takes the real one, and the check goes on."""
    taken: list[bool] = []
    go, done = threading.Lock(), threading.Lock()
    go.acquire()
    done.acquire()

    def outside() -> None:
        go.acquire()
        with ACCOUNT.lock:
            taken.append(True)
        done.release()

    thread = threading.Thread(target=outside)
    real_go, real_done = go, done

    def body() -> None:
        with ACCOUNT.lock:
            real_go.release()
            real_done.acquire()

    thread.start()
    state = explore(of(body), RandomWalk(1), executions=1)
    thread.join()

    assert [True] == taken
    assert Verdict.NOT_FOUND == state.verdict


def test_modules_that_make_locks_can_be_imported_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first import of a module that registers its lock for forks works inside a check."""
    monkeypatch.delitem(sys.modules, "concurrent.futures.thread", raising=False)

    def body() -> None:
        importlib.import_module("concurrent.futures.thread")

    assert Verdict.NOT_FOUND == explore(of(body), RandomWalk(1), executions=2).verdict
