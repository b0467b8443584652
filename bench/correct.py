"""Twenty-two correct programs, each in a style that threaded Python is written in: no detector may find anything.

Every one ends, hands over everything it shares under a lock or by something that waits, joins its threads and takes out
of its queues what it put in. `PROGRAMS` lists them by name.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING

import verify
from bench.programs.threads import together

if TYPE_CHECKING:
    from collections.abc import Callable


class Counter:
    """Counts under its lock."""

    def __init__(self) -> None:
        """Start at zero."""
        self.lock = threading.Lock()
        self.n = 0

    def add(self, amount: int = 1) -> int:
        """Add, and return the sum."""
        with self.lock:
            self.n += amount
            return self.n


def counter() -> None:
    """Two threads add to one number."""
    shared = Counter()
    together(shared.add, shared.add, shared.add)
    assert shared.n == 3


def bank() -> None:
    """Transfers take the two locks in one order."""
    accounts = [Counter(), Counter()]

    def transfer(source: int, target: int) -> None:
        first, second = sorted((source, target))
        with accounts[first].lock, accounts[second].lock:
            accounts[source].n -= 1
            accounts[target].n += 1

    together(lambda: transfer(0, 1), lambda: transfer(1, 0))
    assert [account.n for account in accounts] == [0, 0]


class Buffer:
    """A bounded buffer: one lock, two conditions, predicates in loops."""

    def __init__(self, size: int) -> None:
        """Start empty."""
        lock = threading.Lock()
        self.not_empty, self.not_full = threading.Condition(lock), threading.Condition(lock)
        self.items: deque[int] = deque()
        self.size = size

    def put(self, item: int) -> None:
        """Wait for room."""
        with self.not_full:
            while len(self.items) >= self.size:
                self.not_full.wait()
            self.items.append(item)
            self.not_empty.notify()

    def get(self) -> int:
        """Wait for an item."""
        with self.not_empty:
            while not self.items:
                self.not_empty.wait()
            item = self.items.popleft()
            self.not_full.notify()
            return item


def buffer() -> None:
    """Two put, one gets, in a buffer of one place."""
    shared = Buffer(1)
    got: list[int] = []
    together(
        lambda: shared.put(1),
        lambda: shared.put(2),
        lambda: got.extend((shared.get(), shared.get())),
    )
    assert sorted(got) == [1, 2]


def sentinel() -> None:
    """A worker takes jobs until it gets the word to stop."""
    jobs: queue.Queue[int | None] = queue.Queue()
    done: list[int] = []

    def work() -> None:
        while (job := jobs.get()) is not None:
            done.append(job)

    def give() -> None:
        for job in (1, 2, None):
            jobs.put(job)

    together(work, give)
    assert done == [1, 2]


def joined_queue() -> None:
    """Daemons work off a queue that main joins, then stops with one word each."""
    jobs: queue.Queue[int] = queue.Queue()
    total = Counter()

    def work() -> None:
        while job := jobs.get():
            total.add(job)
            jobs.task_done()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for job in (1, 2):
        jobs.put(job)
    jobs.join()
    assert total.n == 3
    for _ in threads:
        jobs.put(0)
    for thread in threads:
        thread.join()


def pool() -> None:
    """A pool maps a function."""
    with ThreadPoolExecutor(2) as workers:
        assert list(workers.map(lambda n: n * n, (1, 2))) == [1, 4]


def completed() -> None:
    """Futures are collected as they complete; one of them failed."""
    with ThreadPoolExecutor(2) as workers:
        futures: list[Future[int]] = [workers.submit(int, text) for text in ("7", "no")]
        good = [future.result() for future in as_completed(futures) if not future.exception()]
    assert good == [7]


class ReadersWriter:
    """Readers together, writers alone, writers first."""

    def __init__(self) -> None:
        """Start free."""
        self.changed = threading.Condition()
        self.readers = 0
        self.writers_waiting = 0
        self.writing = False

    def read(self, body: Callable[[], None]) -> None:
        """Run beside other readers."""
        with self.changed:
            self.changed.wait_for(lambda: not self.writing and not self.writers_waiting)
            self.readers += 1
        body()
        with self.changed:
            self.readers -= 1
            self.changed.notify_all()

    def write(self, body: Callable[[], None]) -> None:
        """Run alone."""
        with self.changed:
            self.writers_waiting += 1
            self.changed.wait_for(lambda: not self.writing and not self.readers)
            self.writers_waiting -= 1
            self.writing = True
        body()
        with self.changed:
            self.writing = False
            self.changed.notify_all()


def readers_writer() -> None:
    """Two values that only a writer changes are equal for every reader."""
    guard = ReadersWriter()
    pair = [0, 0]

    def change() -> None:
        pair[0] += 1
        pair[1] += 1

    def look() -> None:
        assert pair[0] == pair[1]

    together(lambda: guard.read(look), lambda: guard.write(change), lambda: guard.read(look))


def latch() -> None:
    """Main waits until everybody has counted down."""
    left = Counter()
    left.n = 2
    all_here = threading.Event()
    seen = [0, 0]

    def come(place: int) -> None:
        seen[place] = place + 1
        if left.add(-1) == 0:
            all_here.set()

    threads = [threading.Thread(target=come, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    all_here.wait()
    assert seen == [1, 2]
    for thread in threads:
        thread.join()


def phases() -> None:
    """Two compute in phases, each on what the other did in the last."""
    barrier = threading.Barrier(2)
    cells = [1, 2]

    def compute(place: int) -> None:
        for _ in range(2):
            other = cells[1 - place]
            barrier.wait()
            cells[place] = other
            barrier.wait()

    together(lambda: compute(0), lambda: compute(1))
    assert cells == [1, 2]


def permits() -> None:
    """Two permits for three who want one, and never more than two inside."""
    permit = threading.BoundedSemaphore(2)
    inside = Counter()

    def enter() -> None:
        with permit:
            assert inside.add(1) <= 2
            inside.add(-1)

    together(enter, enter, enter)


def handshake() -> None:
    """Two pass one box to and fro by two events."""
    ping, pong = threading.Event(), threading.Event()
    box = [0]

    def first() -> None:
        box[0] += 1
        ping.set()
        pong.wait()
        box[0] += 1

    def second() -> None:
        ping.wait()
        box[0] += 1
        pong.set()

    together(first, second)
    assert box == [3]


class Lazy:
    """Makes its value once."""

    def __init__(self) -> None:
        """Have no value yet."""
        self.lock = threading.RLock()
        self.value: list[int] | None = None

    def get(self) -> list[int]:
        """Return the value, made by whoever comes first."""
        with self.lock:
            if self.value is None:
                self.value = self.made()
            return self.value

    def made(self) -> list[int]:
        """Make it; takes the lock again."""
        with self.lock:
            return [1]


def lazy() -> None:
    """Everybody gets the same value."""
    shared = Lazy()
    got: list[list[int]] = []
    together(lambda: got.append(shared.get()), lambda: got.append(shared.get()))
    assert got[0] is got[1]


def pipeline() -> None:
    """Three stages, a queue between each two."""
    first: queue.SimpleQueue[int] = queue.SimpleQueue()
    second: queue.SimpleQueue[int] = queue.SimpleQueue()
    out: list[int] = []

    def double() -> None:
        while item := first.get():
            second.put(2 * item)
        second.put(0)

    def collect() -> None:
        while item := second.get():
            out.append(item)

    def feed() -> None:
        for item in (1, 2, 0):
            first.put(item)

    together(feed, double, collect)
    assert out == [2, 4]


def own_slots() -> None:
    """Each writes its own place of a list; the sum is taken after joining."""
    results = [0, 0, 0]

    def work(place: int) -> None:
        for _ in range(2):
            results[place] += place

    together(lambda: work(0), lambda: work(1), lambda: work(2))
    assert sum(results) == 6


def own_memory() -> None:
    """Each sums up in thread-local memory and gives the sum away once."""
    mine = threading.local()
    total = Counter()

    def work() -> None:
        mine.sum = 0
        for number in range(3):
            mine.sum += number
        total.add(mine.sum)

    together(work, work)
    assert total.n == 6


def timer() -> None:
    """A timer is cancelled, or was too quick; either way it is joined."""
    rung: list[int] = []
    alarm = threading.Timer(0.01, rung.append, (1,))
    alarm.start()
    time.sleep(0.01)
    alarm.cancel()
    alarm.join()
    assert len(rung) <= 1


def stopping() -> None:
    """A worker looks every second whether it is to stop."""
    stop = threading.Event()
    ticks: list[int] = []

    def work() -> None:
        while not stop.wait(1):
            ticks.append(1)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    stop.set()
    thread.join()
    assert stop.is_set()


class Config:
    """Replaced as a whole, never changed."""

    def __init__(self) -> None:
        """Start with one setting."""
        self.lock = threading.Lock()
        self.current: dict[str, int] = {"a": 1}

    def snapshot(self) -> dict[str, int]:
        """Return what holds now."""
        with self.lock:
            return self.current

    def set(self, key: str, value: int) -> None:
        """Put a changed copy in place."""
        with self.lock:
            self.current = {**self.current, key: value}


def copy_on_write() -> None:
    """Readers keep a snapshot while writers replace it."""
    config = Config()

    def read() -> None:
        seen = config.snapshot()
        assert seen["a"] in {1, 2}
        assert seen.get("b") in {None, 3}

    together(read, lambda: config.set("a", 2), lambda: config.set("b", 3))
    assert config.snapshot() == {"a": 2, "b": 3}


def mailbox() -> None:
    """A deque that one appends to and another pops from, with a semaphore that counts."""
    letters: deque[list[int]] = deque()
    count = threading.Semaphore(0)
    got: list[int] = []

    def send() -> None:
        for number in (1, 2):
            letters.append([number])
            count.release()

    def receive() -> None:
        for _ in range(2):
            count.acquire()
            letter = letters.popleft()
            letter[0] += 1
            got.append(letter[0])

    together(send, receive)
    assert got == [2, 3]


def backing_off() -> None:
    """Takes one lock, tries the other, and starts again without either."""
    left, right = threading.Lock(), threading.Lock()
    state = [0]

    def work(one: threading.Lock, other: threading.Lock) -> None:
        while True:
            with one:
                if other.acquire(timeout=1):
                    try:
                        state[0] += 1
                        return
                    finally:
                        other.release()
            time.sleep(0.5)

    together(lambda: work(left, right), lambda: work(right, left))
    assert state == [2]


def recorded_stack() -> None:
    """A locked stack whose calls are recorded and judged."""
    items: list[int] = []
    lock = threading.Lock()
    calls = verify.History("stack")

    def push(item: int) -> None:
        with lock:
            items.append(item)

    def pop() -> int:
        with lock:
            return items.pop()

    calls.call("push", push, 1)
    together(lambda: calls.call("push", push, 2), lambda: calls.call("pop", pop))
    assert verify.linearizable(calls, verify.Lifo())


PROGRAMS: dict[str, Callable[[], None]] = {
    body.__name__: body
    for body in (
        counter, bank, buffer, sentinel, joined_queue, pool, completed, readers_writer, latch, phases, permits,
        handshake, lazy, pipeline, own_slots, own_memory, timer, stopping, copy_on_write, mailbox, backing_off,
        recorded_stack,
    )
}  # fmt: skip
