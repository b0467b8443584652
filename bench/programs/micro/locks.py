"""Small programs on locks and their tries."""

from __future__ import annotations

import threading
import time

from bench.programs.micro.parts import Log, beside, micro


@micro
def lock_order() -> object:
    """Who takes a lock first."""
    lock, log = threading.Lock(), Log()

    def take(name: str) -> None:
        with lock:
            log.add(name)

    beside(*[lambda name=name: take(name) for name in "abc"])
    return log


@micro
def lock_twice() -> object:
    """Two sections each of two threads."""
    lock, log = threading.Lock(), Log()

    def take(name: str) -> None:
        for _ in range(2):
            with lock:
                log.add(name)

    beside(lambda: take("a"), lambda: take("b"))
    return log


@micro
def lock_handed_over() -> object:
    """A lock given back by the thread that did not take it."""
    lock, log = threading.Lock(), Log()
    lock.acquire()

    def give() -> None:
        log.add("give")
        lock.release()

    def take() -> None:
        lock.acquire()
        log.add("take")

    beside(give, take)
    return log


@micro
def lock_abba() -> object:
    """Two locks in opposite orders: some orders hang."""
    left, right, log = threading.Lock(), threading.Lock(), Log()

    def take(first: threading.Lock, second: threading.Lock, name: str) -> None:
        with first, second:
            log.add(name)

    beside(lambda: take(left, right, "a"), lambda: take(right, left, "b"))
    return log


@micro
def rlock_order() -> object:
    """Who takes a reentrant lock first, twice."""
    lock, log = threading.RLock(), Log()

    def take(name: str) -> None:
        with lock, lock:
            log.add(name)

    beside(lambda: take("a"), lambda: take("b"))
    return log


@micro
def rlock_try() -> object:
    """A try on a reentrant lock that somebody may hold."""
    lock, log = threading.RLock(), Log()

    def attempt() -> None:
        taken = lock.acquire(blocking=False)
        log.add(taken)
        if taken:
            lock.release()

    def hold() -> None:
        with lock:
            pass

    beside(attempt, hold)
    return log


@micro
def try_against_try() -> object:
    """Two tries, one of which may fail."""
    lock, log = threading.Lock(), Log()

    def attempt(name: str) -> None:
        if lock.acquire(blocking=False):
            log.add(name)
            lock.release()

    beside(lambda: attempt("a"), lambda: attempt("b"))
    return sorted(map(str, log))


@micro
def try_against_section() -> object:
    """Two tries in a row beside a section."""
    lock, log = threading.Lock(), Log()

    def attempt() -> None:
        for _ in range(2):
            taken = lock.acquire(blocking=False)
            log.add(taken)
            if taken:
                lock.release()

    def hold() -> None:
        with lock:
            pass

    beside(attempt, hold)
    return log


@micro
def locked_is_seen() -> object:
    """Somebody looks whether a lock is held."""
    lock, log = threading.Lock(), Log()

    def look() -> None:
        log.add(lock.locked())
        log.add(lock.locked())

    def hold() -> None:
        with lock:
            pass

    beside(look, hold)
    return log


@micro
def lock_timed() -> object:
    """A lock that is waited for for a second, held across a sleep."""
    lock, log = threading.Lock(), Log()

    def attempt() -> None:
        log.add(lock.acquire(timeout=1))

    def hold() -> None:
        with lock:
            time.sleep(0.5)

    beside(attempt, hold)
    return log
