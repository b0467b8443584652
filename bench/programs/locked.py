"""The SCTBench "CS" programs whose faults show at synchronisation operations.

Written anew from descriptions of the C programs (Thomson, Donaldson, Betts, TOPC 2016; the programs
are from the ESBMC suite). Every shared variable is made inside the run. An assertion fails in the
thread that checks.
"""

from __future__ import annotations

import threading
from collections import deque

from bench.programs.threads import State, together


def account() -> None:
    """A wrong formula, which only a checker that runs last meets; it is made first."""
    lock = threading.Lock()
    state = State()
    x, y, z = 1, 2, 4
    state.a = x

    def deposit() -> None:
        with lock:
            state.a += y
            state.first = True

    def withdraw() -> None:
        with lock:
            state.a -= z
            state.second = True

    def check() -> None:
        with lock:
            if state.first and state.second:
                assert state.a == (x - y) - z

    together(check, deposit, withdraw)


def arithmetic_prog() -> None:
    """A sum through a slot and two conditions; the check at the end is false whatever happens."""
    count = 3
    lock = threading.Lock()
    empty, full = threading.Condition(lock), threading.Condition(lock)
    state = State()

    def produce() -> None:
        for _ in range(count):
            with lock:
                while state.a > 0:
                    empty.wait()
                state.a += 1
                full.notify()
        with lock:
            state.first = True

    def consume() -> None:
        for item in range(count):
            with lock:
                while state.a == 0:
                    full.wait()
                state.a -= 1
                state.b += item
                empty.notify()
        with lock:
            state.second = True

    together(produce, consume)
    assert state.first
    assert state.second
    assert state.b == count * (count + 1) // 2


def carter01() -> None:
    """Two entry counters share one lock: one holds it outside its own, one asks for it inside."""
    m, shared = threading.Lock(), threading.Lock()
    state = State()

    def with_a() -> None:
        with m:
            state.a += 1
            if state.a == 1:
                shared.acquire()
        with m:
            state.a -= 1
            if state.a == 0:
                shared.release()

    def with_b() -> None:
        with m:
            state.b += 1
            if state.b == 1:
                shared.acquire()
        with m:
            state.b -= 1
            if state.b == 0:
                shared.release()

    together(with_a, with_b, _nothing, _nothing)


def _nothing() -> None:
    pass


def circular_buffer() -> None:
    """The turn is checked, but a turn that is not ours still counts as a round."""
    lock = threading.Lock()
    state = State()
    state.first = True  # may send
    items: deque[int] = deque()
    rounds = 7

    def send() -> None:
        for item in range(rounds):
            with lock:
                if state.first:
                    items.append(item)
                    state.first, state.second = False, True

    def receive() -> None:
        for item in range(rounds):
            with lock:
                if state.second:
                    assert items.popleft() == item
                    state.second, state.first = False, True

    together(send, receive)


def deadlock01() -> None:
    """Two locks in two orders."""
    a, b = threading.Lock(), threading.Lock()
    state = State()

    def one() -> None:
        with a, b:
            state.a += 1

    def two() -> None:
        with b, a:
            state.a += 1

    together(one, two)


def deadlock01_ordered() -> None:
    """The same two locks in one order."""
    a, b = threading.Lock(), threading.Lock()
    state = State()

    def one() -> None:
        with a, b:
            state.a += 1

    together(one, one)


def philosophers(count: int) -> None:
    """Everybody takes the right fork, then the left one."""
    forks = [threading.Lock() for _ in range(count)]

    def dine(seat: int) -> None:
        with forks[seat], forks[(seat + 1) % count]:
            pass

    together(*[lambda seat=seat: dine(seat) for seat in range(count)])


def philosophers_sat(count: int) -> None:
    """Both forks are taken in one step; the check says that not everybody eats, and everybody does."""
    forks = [threading.Lock() for _ in range(count)]
    table = threading.Lock()
    state = State()

    def dine(seat: int) -> None:
        with table:
            for fork in (forks[seat], forks[(seat + 1) % count]):
                fork.acquire()
            state.a += 1
            for fork in (forks[seat], forks[(seat + 1) % count]):
                fork.release()
            assert state.a != count

    together(*[lambda seat=seat: dine(seat) for seat in range(count)])


def fsbench() -> None:
    """Twenty-seven threads, an array of twenty-six locks."""
    locks = [threading.Lock() for _ in range(26)]
    state = State()

    def work(place: int) -> None:
        with locks[place]:
            state.a += 1

    together(*[lambda place=place: work(place) for place in range(27)])


def lazy01() -> None:
    """One adds, two adds, and a third says that it comes before one of them."""
    lock = threading.Lock()
    state = State()

    def add(amount: int) -> None:
        with lock:
            state.a += amount

    def check() -> None:
        with lock:
            assert state.a < 3

    together(check, lambda: add(2), lambda: add(1))


def phase01() -> None:
    """A lock whose holder ends without giving it back."""
    x, y = threading.Lock(), threading.Lock()

    def work() -> None:
        x.acquire()
        x.release()
        x.acquire()
        y.acquire()
        y.release()
        y.acquire()
        y.release()

    together(work, work)


def queue() -> None:
    """Turns again, this time the reader expects what stands in a table at its own index."""
    lock = threading.Lock()
    state = State()
    size = 20
    items: deque[int] = deque()
    stored = [0] * (size + 1)

    def enqueue() -> None:
        value = 0
        with lock:
            items.append(value)
            stored[0] = value
        for place in range(size - 1):
            with lock:
                if not state.second:
                    value += 1
                    items.append(value)
                    stored[place + 1] = value
                    state.second, state.first = True, True

    def dequeue() -> None:
        for place in range(size):
            with lock:
                if state.first:
                    assert items.popleft() == stored[place]
                    state.first, state.second = False, False

    together(enqueue, dequeue)


def stack() -> None:
    """A flag that says that something was pushed once, read as: something is there."""
    lock = threading.Lock()
    state = State()
    size = 10
    items: list[int] = []

    def push() -> None:
        for item in range(size):
            with lock:
                assert len(items) < size
                items.append(item)
                state.first = True

    def pop() -> None:
        for _ in range(size):
            with lock:
                if state.first:
                    assert items
                    items.pop()

    together(push, pop)


def sync01() -> None:
    """A signal without a change: the producer waits for what nobody will do."""
    lock = threading.Lock()
    empty, full = threading.Condition(lock), threading.Condition(lock)
    state = State()
    state.a = 1

    def produce() -> None:
        with lock:
            while state.a > 0:
                empty.wait()
            state.a += 1
            full.notify()

    def consume() -> None:
        with lock:
            while state.a == 0:
                full.wait()
            empty.notify()

    together(produce, consume)


def sync02() -> None:
    """The consumer eats what was there and leaves; the producer waits at its second item."""
    lock = threading.Lock()
    empty, full = threading.Condition(lock), threading.Condition(lock)
    state = State()
    state.a = count = 2

    def produce() -> None:
        for _ in range(count):
            with lock:
                while state.a > 0:
                    empty.wait()
                state.a += 1
                full.notify()

    def consume() -> None:
        for _ in range(count):
            with lock:
                while state.a == 0:
                    full.wait()
                state.a -= 1
                empty.notify()

    together(produce, consume)


def token_ring() -> None:
    """Three copies in a ring, right in one order only."""
    lock = threading.Lock()
    state = State()
    state.a, state.b, state.c = 1, 2, 1

    def one() -> None:
        with lock:
            state.a, state.first = (state.c + 1) % 4, True

    def two() -> None:
        with lock:
            state.b, state.second = state.a, True

    def three() -> None:
        with lock:
            state.c, state.third = state.b, True

    def check() -> None:
        with lock:
            if state.first and state.second and state.third:
                assert state.a == state.b == state.c

    together(one, two, three, check)


def twostage(writers: int = 1) -> None:
    """Two values that belong together, written under two locks one after the other."""
    outer, inner = threading.Lock(), threading.Lock()
    state = State()

    def write() -> None:
        with outer:
            state.a = 1
        with inner:
            state.b = state.a + 1

    def read() -> None:
        with outer:
            if state.a == 0:
                return
            seen = state.a
        with inner:
            assert state.b == seen + 1

    together(*[write] * writers, read)


def twostage_fixed() -> None:
    """The two values of `twostage` under one lock."""
    lock = threading.Lock()
    state = State()

    def write() -> None:
        with lock:
            state.a = 1
            state.b = state.a + 1

    def read() -> None:
        with lock:
            assert state.a == 0 or state.b == state.a + 1

    together(write, read)
