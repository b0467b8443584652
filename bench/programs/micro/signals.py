"""Small programs on semaphores, events, conditions and barriers."""

from __future__ import annotations

import threading

from bench.programs.micro.parts import Log, Thing, beside, micro


@micro
def semaphore_order() -> object:
    """Three threads, two places, none of which is given back: the third hangs."""
    places, log = threading.Semaphore(2), Log()

    def enter(name: str) -> None:
        places.acquire()
        log.add(name)

    beside(*[lambda name=name: enter(name) for name in "abc"])
    return log


@micro
def semaphore_try() -> object:
    """Two tries for one place that is given back."""
    places, log = threading.Semaphore(1), Log()

    def attempt() -> None:
        taken = places.acquire(blocking=False)
        log.add(taken)
        if taken:
            places.release()

    beside(attempt, attempt, places.acquire)
    return log


@micro
def semaphore_as_signal() -> object:
    """A semaphore that starts at zero; some orders hang."""
    ready, log = threading.Semaphore(0), Log()

    def wait(name: str) -> None:
        ready.acquire()
        log.add(name)

    beside(lambda: wait("a"), lambda: wait("b"), ready.release)
    return log


@micro
def semaphore_bounded() -> object:
    """One release too many, in some orders."""
    places, log = threading.BoundedSemaphore(1), Log()

    def release() -> None:
        try:
            places.release()
        except ValueError:
            log.add("too many")

    beside(release, places.acquire)
    return log


@micro
def event_set_and_clear() -> object:
    """A wait that may find the event cleared again, and hang."""
    event, log = threading.Event(), Log()

    def wait() -> None:
        event.wait()
        log.add("woken")

    def blink() -> None:
        event.set()
        event.clear()

    beside(wait, blink)
    return log


@micro
def event_timed() -> object:
    """A wait that may time out first."""
    event, log = threading.Event(), Log()
    beside(lambda: log.add(event.wait(1)), event.set)
    return log


@micro
def event_is_set() -> object:
    """Somebody looks at an event, twice."""
    event, log = threading.Event(), Log()

    def look() -> None:
        log.add(event.is_set())
        log.add(event.is_set())

    beside(look, event.set)
    return log


@micro
def condition_lost() -> object:
    """A notification that may come before the wait."""
    condition, log = threading.Condition(), Log()

    def wait() -> None:
        with condition:
            condition.wait()
            log.add("woken")

    def notify() -> None:
        with condition:
            condition.notify()

    beside(wait, notify)
    return log


@micro
def condition_order() -> object:
    """Two wait with a flag, one notifies one: who goes first, and who hangs."""
    condition, state, log = threading.Condition(), Thing(), Log()

    def wait(name: str) -> None:
        with condition:
            while not state.a:
                condition.wait()
            state.a -= 1
            log.add(name)

    def notify() -> None:
        with condition:
            state.a = 1
            condition.notify()

    beside(lambda: wait("a"), lambda: wait("b"), notify)
    return log


@micro
def condition_timed() -> object:
    """A wait that may be notified, or time out."""
    condition, log = threading.Condition(), Log()

    def wait() -> None:
        with condition:
            log.add(condition.wait(1))

    def notify() -> None:
        with condition:
            condition.notify_all()

    beside(wait, notify)
    return log


@micro
def condition_two_timed() -> object:
    """Two timed waits, one notification before the second."""
    condition, log = threading.Condition(), Log()

    def wait() -> None:
        with condition:
            log.add(condition.wait(1))

    def notify_and_wait() -> None:
        with condition:
            condition.notify()
            log.add(("b", condition.wait(1)))

    beside(wait, notify_and_wait)
    return log


@micro
def barrier_indices() -> object:
    """Who comes as the how-manieth."""
    barrier, seen = threading.Barrier(2), {}

    def come(name: str) -> None:
        seen[name] = barrier.wait()

    beside(lambda: come("a"), lambda: come("b"))
    return sorted(seen.items())


@micro
def barrier_aborted() -> object:
    """A barrier that is aborted beside one who comes."""
    barrier, log = threading.Barrier(2), Log()

    def come() -> None:
        try:
            barrier.wait()
        except threading.BrokenBarrierError:
            log.add("broken")

    def abort() -> None:
        log.add(barrier.n_waiting)
        barrier.abort()

    beside(come, abort)
    return log
