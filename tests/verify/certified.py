"""Small programs without a failure, whose schedules can all be run; each says what came of it in `SEEN`."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

import verify

from .zoo import Program, together

if TYPE_CHECKING:
    from collections.abc import Sequence

__stage3_fold__ = True  # what is noted in SEEN is no access of the program's

SEEN: list[object] = []


def writers() -> None:
    """Two threads write one variable, twice each."""

    def write() -> None:
        for _ in range(2):
            verify.access("x", write=True)
            SEEN.append(threading.current_thread().name)

    together(write, write)


def parts() -> None:
    """Two write parts that do not overlap, a third one reads both."""
    table = [0, 0]

    def write(at: int) -> None:
        verify.access("t", at, at + 1, write=True)
        table[at] = 1

    def read() -> None:
        verify.access("t", 0, 2, write=False)
        SEEN.append(tuple(table))

    reader = threading.Thread(target=read)
    writer = threading.Thread(target=write, args=(0,))
    reader.start()
    writer.start()
    write(1)
    reader.join()
    writer.join()


def locks() -> None:
    """Two locks in one order, and a thread that needs the inner one."""
    outer, inner = threading.Lock(), threading.Lock()

    def both(value: int) -> None:
        with outer, inner:
            SEEN.append(value)

    def one() -> None:
        with inner:
            SEEN.append(2)

    together(lambda: both(0), one)


def tries() -> None:
    """A lock is tried while another thread holds it for a moment."""
    lock = threading.Lock()

    def hold() -> None:
        with lock:
            pass

    def attempt() -> None:
        taken = lock.acquire(blocking=False)
        SEEN.append(taken)
        if taken:
            lock.release()

    together(hold, attempt)


def waits_a_while() -> None:
    """A lock is waited for, but not for ever."""
    lock = threading.Lock()

    def hold() -> None:
        with lock:
            pass

    def attempt() -> None:
        taken = lock.acquire(timeout=1.0)
        SEEN.append(taken)
        if taken:
            lock.release()

    together(hold, attempt)


def condition() -> None:
    """One waits for what another announces, twice."""
    ready = threading.Condition(threading.Lock())
    items: list[int] = []

    def take() -> None:
        with ready:
            while not items:
                ready.wait()
            SEEN.append(tuple(items))

    def give() -> None:
        for value in range(2):
            with ready:
                items.append(value)
                ready.notify()

    together(take, give)


def events() -> None:
    """An event is set, waited for and looked at."""
    event = threading.Event()

    def wait() -> None:
        event.wait()
        SEEN.append("waited")

    waiter = threading.Thread(target=wait)
    setter = threading.Thread(target=event.set)
    waiter.start()
    setter.start()
    SEEN.append(event.is_set())
    waiter.join()
    setter.join()


def items() -> None:
    """Two put, one takes two."""
    between: queue.Queue[int] = queue.Queue(1)
    one = threading.Thread(target=between.put, args=(0,))
    two = threading.Thread(target=between.put, args=(1,))
    one.start()
    two.start()
    SEEN.extend((between.get(), between.get()))
    one.join()
    two.join()


def permits() -> None:
    """A semaphore with one permit for two, and a look at who still lives."""
    permit = threading.Semaphore(1)

    def use(value: int) -> None:
        with permit:
            SEEN.append(value)

    one = threading.Thread(target=use, args=(0,))
    two = threading.Thread(target=use, args=(1,))
    one.start()
    two.start()
    SEEN.append(one.is_alive())
    one.join()
    two.join()


def cut_off() -> None:
    """A daemon gets as far as the end lets it."""

    def work() -> None:
        for value in range(2):
            verify.access("x", write=True)
            SEEN.append(value)

    threading.Thread(target=work, daemon=True).start()
    verify.access("x", write=True)
    SEEN.append("main")


def values() -> None:
    """What is drawn decides whether there is a race."""

    def work() -> None:
        if verify.draw(3) == 1:
            verify.access("x", write=True)
            SEEN.append("drawn")

    def other() -> None:
        verify.access("x", write=True)
        SEEN.append("other")

    together(work, other)


PROGRAMS: Sequence[Program] = (
    writers, parts, locks, tries, waits_a_while, condition, events, items, permits, cut_off, values,
)  # fmt: skip
