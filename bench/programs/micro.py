"""Forty-six small programs, at least two for each primitive and each kind of operation on a container.

Each returns what tells, afterwards, what it came to. They are what exhausted searches are compared on, so each has an
order that matters; some of them fail or hang in some orders.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from verify import access, draw

if TYPE_CHECKING:
    from collections.abc import Callable

    Micro = Callable[[], object]

PROGRAMS: dict[str, Micro] = {}


def _micro(program: Micro) -> Micro:
    PROGRAMS[program.__name__] = program
    return program


def _beside(*bodies: Callable[[], object]) -> None:
    """Run the last body here and the others in threads of their own."""
    threads = [threading.Thread(target=body) for body in bodies[:-1]]
    for thread in threads:
        thread.start()
    bodies[-1]()
    for thread in threads:
        thread.join()


class Log(list[object]):
    """What the threads have done; no operation of the program's, and told by no hook."""

    def add(self, thing: object) -> None:
        """Append, as the end of an operation that is ordered already."""
        list.append(self, thing)


class Thing:
    """Has attributes."""

    a = 0
    b = 0


# --- locks


@_micro
def lock_order() -> object:
    """Who takes a lock first."""
    lock, log = threading.Lock(), Log()

    def take(name: str) -> None:
        with lock:
            log.add(name)

    _beside(*[lambda name=name: take(name) for name in "abc"])
    return log


@_micro
def lock_twice() -> object:
    """Two sections each of two threads."""
    lock, log = threading.Lock(), Log()

    def take(name: str) -> None:
        for _ in range(2):
            with lock:
                log.add(name)

    _beside(lambda: take("a"), lambda: take("b"))
    return log


@_micro
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

    _beside(give, take)
    return log


@_micro
def lock_abba() -> object:
    """Two locks in opposite orders: some orders hang."""
    left, right, log = threading.Lock(), threading.Lock(), Log()

    def take(first: threading.Lock, second: threading.Lock, name: str) -> None:
        with first, second:
            log.add(name)

    _beside(lambda: take(left, right, "a"), lambda: take(right, left, "b"))
    return log


@_micro
def rlock_order() -> object:
    """Who takes a reentrant lock first, twice."""
    lock, log = threading.RLock(), Log()

    def take(name: str) -> None:
        with lock, lock:
            log.add(name)

    _beside(lambda: take("a"), lambda: take("b"))
    return log


@_micro
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

    _beside(attempt, hold)
    return log


@_micro
def try_against_try() -> object:
    """Two tries, one of which may fail."""
    lock, log = threading.Lock(), Log()

    def attempt(name: str) -> None:
        if lock.acquire(blocking=False):
            log.add(name)
            lock.release()

    _beside(lambda: attempt("a"), lambda: attempt("b"))
    return sorted(map(str, log))


@_micro
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

    _beside(attempt, hold)
    return log


@_micro
def locked_is_seen() -> object:
    """Somebody looks whether a lock is held."""
    lock, log = threading.Lock(), Log()

    def look() -> None:
        log.add(lock.locked())
        log.add(lock.locked())

    def hold() -> None:
        with lock:
            pass

    _beside(look, hold)
    return log


@_micro
def lock_timed() -> object:
    """A lock that is waited for for a second, held across a sleep."""
    lock, log = threading.Lock(), Log()

    def attempt() -> None:
        log.add(lock.acquire(timeout=1))

    def hold() -> None:
        with lock:
            time.sleep(0.5)

    _beside(attempt, hold)
    return log


# --- semaphores, events, conditions, barriers


@_micro
def semaphore_order() -> object:
    """Three threads, two places, none of which is given back: the third hangs."""
    places, log = threading.Semaphore(2), Log()

    def enter(name: str) -> None:
        places.acquire()
        log.add(name)

    _beside(*[lambda name=name: enter(name) for name in "abc"])
    return log


@_micro
def semaphore_try() -> object:
    """Two tries for one place that is given back."""
    places, log = threading.Semaphore(1), Log()

    def attempt() -> None:
        taken = places.acquire(blocking=False)
        log.add(taken)
        if taken:
            places.release()

    _beside(attempt, attempt, places.acquire)
    return log


@_micro
def semaphore_as_signal() -> object:
    """A semaphore that starts at zero; some orders hang."""
    ready, log = threading.Semaphore(0), Log()

    def wait(name: str) -> None:
        ready.acquire()
        log.add(name)

    _beside(lambda: wait("a"), lambda: wait("b"), ready.release)
    return log


@_micro
def semaphore_bounded() -> object:
    """One release too many, in some orders."""
    places, log = threading.BoundedSemaphore(1), Log()

    def release() -> None:
        try:
            places.release()
        except ValueError:
            log.add("too many")

    _beside(release, places.acquire)
    return log


@_micro
def event_set_and_clear() -> object:
    """A wait that may find the event cleared again, and hang."""
    event, log = threading.Event(), Log()

    def wait() -> None:
        event.wait()
        log.add("woken")

    def blink() -> None:
        event.set()
        event.clear()

    _beside(wait, blink)
    return log


@_micro
def event_timed() -> object:
    """A wait that may time out first."""
    event, log = threading.Event(), Log()
    _beside(lambda: log.add(event.wait(1)), event.set)
    return log


@_micro
def event_is_set() -> object:
    """Somebody looks at an event, twice."""
    event, log = threading.Event(), Log()

    def look() -> None:
        log.add(event.is_set())
        log.add(event.is_set())

    _beside(look, event.set)
    return log


@_micro
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

    _beside(wait, notify)
    return log


@_micro
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

    _beside(lambda: wait("a"), lambda: wait("b"), notify)
    return log


@_micro
def condition_timed() -> object:
    """A wait that may be notified, or time out."""
    condition, log = threading.Condition(), Log()

    def wait() -> None:
        with condition:
            log.add(condition.wait(1))

    def notify() -> None:
        with condition:
            condition.notify_all()

    _beside(wait, notify)
    return log


@_micro
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

    _beside(wait, notify_and_wait)
    return log


@_micro
def barrier_indices() -> object:
    """Who comes as the how-manieth."""
    barrier, seen = threading.Barrier(2), {}

    def come(name: str) -> None:
        seen[name] = barrier.wait()

    _beside(lambda: come("a"), lambda: come("b"))
    return sorted(seen.items())


@_micro
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

    _beside(come, abort)
    return log


# --- queues


@_micro
def queue_put_order() -> object:
    """Two put, one gets twice."""
    items: queue.Queue[str] = queue.Queue()
    log = Log()

    def get() -> None:
        log.add(items.get())
        log.add(items.get())

    _beside(lambda: items.put("a"), lambda: items.put("b"), get)
    return log


@_micro
def queue_get_order() -> object:
    """Who gets the only item; the other hangs."""
    items: queue.Queue[str] = queue.Queue()
    seen = Log()

    def get(name: str) -> None:
        items.get()
        seen.add(name)

    _beside(lambda: get("a"), lambda: get("b"), lambda: items.put("x"))
    return seen


@_micro
def queue_full() -> object:
    """A queue of one: puts that fail at once."""
    items: queue.Queue[str] = queue.Queue(1)
    log = Log()

    def put(name: str) -> None:
        try:
            items.put_nowait(name)
        except queue.Full:
            log.add(name)

    _beside(lambda: put("a"), lambda: put("b"))
    return log, list(items.queue)


@_micro
def queue_timed() -> object:
    """A get that may time out."""
    items: queue.Queue[str] = queue.Queue()
    log = Log()

    def get() -> None:
        try:
            log.add(items.get(timeout=1))
        except queue.Empty:
            log.add("late")

    _beside(get, lambda: items.put("a"))
    return log


@_micro
def queue_joined() -> object:
    """Waiting until all work is done."""
    items: queue.Queue[str] = queue.Queue()
    log = Log()
    items.put("a")

    def work() -> None:
        items.get()
        access("log", write=True)
        log.add("worked")
        items.task_done()

    def wait() -> None:
        empty = items.empty()
        items.join()
        access("log", write=True)
        log.add(empty)

    _beside(work, wait)
    return log


@_micro
def simple_queue() -> object:
    """Two put, one gets, somebody asks how many there are."""
    items: queue.SimpleQueue[str] = queue.SimpleQueue()
    log = Log()

    def get() -> None:
        log.add(items.get())
        log.add(items.qsize())

    _beside(lambda: items.put("a"), lambda: items.put("b"), get)
    return log


# --- accesses


@_micro
def attribute_update() -> object:
    """Two updates of one attribute, one of which may be lost."""
    state = Thing()

    def add() -> None:
        state.a += 1

    _beside(add, add)
    return state.a


@_micro
def attributes_apart() -> object:
    """Each of two threads reads what the other writes."""
    state, seen = Thing(), {}

    def one() -> None:
        state.a = 1
        seen["b"] = state.b

    def other() -> None:
        state.b = 1
        seen["a"] = state.a

    _beside(one, other)
    return sorted(seen.items())


@_micro
def not_in_dict() -> object:
    """`k not in d`, then a store: both may come to it."""
    made: dict[str, str] = {}
    log = Log()

    def make(name: str) -> None:
        if "k" not in made:
            made["k"] = name
            log.add(name)

    _beside(lambda: make("a"), lambda: make("b"))
    return sorted(map(str, log)), made


@_micro
def dict_pop() -> object:
    """A value read behind a test, while another thread takes it out."""
    made, log = {"k": 1}, Log()

    def read() -> None:
        if "k" in made:
            log.add(made["k"])

    _beside(read, lambda: made.pop("k"))
    return log


@_micro
def deque_test_and_pop() -> object:
    """`if d: d.popleft()`, twice, on one item."""
    items, log = deque(["a"]), Log()

    def take() -> None:
        if items:
            log.add(items.popleft())

    _beside(take, take)
    return log


@_micro
def deque_order() -> object:
    """Appended at either end."""
    items: deque[str] = deque()
    _beside(lambda: items.append("a"), lambda: items.appendleft("b"), lambda: items.append("c"))
    return items


@_micro
def list_length() -> object:
    """An index made of a length that another thread changes."""
    items, log = [1], Log()

    def add() -> None:
        place = len(items)
        items.append(place)
        log.add(place)

    _beside(add, add)
    return sorted(map(str, log)), items


@_micro
def ranges_that_overlap() -> object:
    """Declared accesses to parts of one object."""
    log = Log()

    def write(lo: int, hi: int) -> None:
        access("pages", lo, hi, write=True)
        log.add(lo)

    _beside(lambda: write(0, 4), lambda: write(3, 8), lambda: write(3, 4))
    return log


# --- threads, time, values


@_micro
def join_orders() -> object:
    """A child's child is joined, or not."""
    log = Log()

    def child() -> None:
        inner = threading.Thread(target=lambda: log.add("inner"))
        inner.start()
        if draw(2):
            inner.join()
        log.add("outer")

    _beside(child, lambda: None)
    return sorted(map(str, log))


@_micro
def alive_or_not() -> object:
    """Somebody looks whether a thread lives."""
    log = Log()
    thread = threading.Thread(target=lambda: access("x", write=True))
    thread.start()
    log.add(thread.is_alive())
    log.add(thread.is_alive())
    thread.join()
    return log


@_micro
def join_timed() -> object:
    """A join that may time out."""
    log = Log()
    thread = threading.Thread(target=lambda: access("x", write=True))
    thread.start()
    thread.join(1)
    log.add(thread.is_alive())
    return log


@_micro
def sleeps() -> object:
    """A sleep orders nothing."""
    log = Log()

    def write(name: str, seconds: float) -> None:
        time.sleep(seconds)
        access("log", write=True)
        log.add(name)

    _beside(lambda: write("a", 1), lambda: write("b", 2))
    return log


@_micro
def clocks() -> object:
    """Who reads the clock first."""
    seen: dict[str, float] = {}

    def read(name: str) -> None:
        seen[name] = time.monotonic()

    _beside(lambda: read("a"), lambda: read("b"), lambda: None)
    return sorted(seen.items())


@_micro
def left_behind() -> object:
    """A daemon may do nothing, one step or two before the end."""
    log = Log()

    def work() -> None:
        for _ in range(2):
            access("x", write=True)
            log.add("step")

    threading.Thread(target=work, daemon=True).start()
    access("y", write=True)
    return log


@_micro
def fails_first() -> object:
    """One failure can hide the other."""

    def fail(name: str) -> None:
        access(name, write=True)
        raise ValueError(name)

    _beside(lambda: fail("a"), lambda: fail("b"))
    return None


@_micro
def executor_done() -> object:
    """A job is given to a pool, and asked about once; the pool is left as it is, and its worker waits for ever."""
    pool = ThreadPoolExecutor(1)
    return pool.submit(lambda: "a").done()


@_micro
def executor_cancel() -> object:
    """A job is taken back, if nobody does it yet; the pool is left as it is, and its worker waits for ever."""
    pool = ThreadPoolExecutor(1)
    job = pool.submit(lambda: "done")
    return job.cancel()
