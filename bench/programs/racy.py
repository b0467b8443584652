"""SCTBench programs whose faults lie between accesses to shared variables.

Written anew from descriptions of the C programs (Thomson, Donaldson, Betts, TOPC 2016). Every
shared variable is made inside the run; every read and write of one is a scheduling point once the
search has learned that it matters.
"""

from __future__ import annotations

import threading
import time

from bench.atomics import Atomic
from bench.programs.threads import State, together


def bluetooth_driver(*, fixed: bool = False) -> None:
    """A driver stops between a request's look at the flag and its entry into the count of requests.

    `fixed` looks again after entering.
    """
    lock = threading.Lock()
    state = State()
    state.a = 1  # requests under way, the driver's own included

    def leave() -> None:
        with lock:
            state.a -= 1
            left = state.a
        if left == 0:
            state.second = True  # nothing is under way

    def stop() -> None:
        state.first = True  # stopping
        leave()
        if state.second:
            state.third = True  # stopped

    def request() -> None:
        if state.first:
            return
        with lock:
            state.a += 1
            late = fixed and state.first
        if not late:
            assert not state.third
        leave()

    together(stop, request)


def bluetooth_fixed() -> None:
    """The driver that looks again."""
    bluetooth_driver(fixed=True)


def reorder(threads: int) -> None:
    """A checker sees one setter's first write and nobody's second."""
    state = State()

    def write() -> None:
        state.a = 1
        state.b = -1

    def check() -> None:
        if not (state.a == 0 and state.b == 0):
            assert state.a == 1
            assert state.b == -1

    together(*[write] * (threads - 1), check)


def wronglock(others: int) -> None:
    """One thread adds under one lock, the others under another."""
    data, this = threading.Lock(), threading.Lock()
    state = State()

    def watch() -> None:
        with data:
            seen = state.a
            state.a += 1
            assert state.a == seen + 1

    def add() -> None:
        with this:
            state.a += 1

    together(watch, *[add] * others)


def wronglock_fixed() -> None:
    """Everybody under one lock."""
    data = threading.Lock()
    state = State()

    def watch() -> None:
        with data:
            seen = state.a
            state.a += 1
            assert state.a == seen + 1

    together(watch, watch, watch)


class Buffer:
    """A string buffer whose methods are atomic one by one."""

    def __init__(self, text: str) -> None:
        self.lock = threading.Lock()
        self.text = text

    def length(self) -> int:
        """Return how many characters it holds."""
        with self.lock:
            return len(self.text)

    def get_chars(self, start: int, end: int) -> str:
        """Return the characters in [start, end), which must be there."""
        with self.lock:
            assert end <= len(self.text)
            return self.text[start:end]

    def erase(self, start: int, end: int) -> None:
        """Take the characters in [start, end) out."""
        with self.lock:
            self.text = self.text[:start] + self.text[end:]

    def append(self, text: str) -> None:
        """Add characters at the end."""
        with self.lock:
            self.text += text

    def append_buffer(self, other: Buffer) -> None:
        """Add what another buffer holds: its length first, then its characters."""
        length = other.length()
        self.append(other.get_chars(0, length))


def stringbuffer() -> None:
    """Another thread shortens the buffer between the two steps of `append_buffer`."""
    source, target = Buffer("abc"), Buffer("")

    def change() -> None:
        source.erase(0, 3)
        source.append("abc")

    thread = threading.Thread(target=change)
    thread.start()
    target.append_buffer(source)
    thread.join()


class Job:
    """What the queue below carries."""

    def __init__(self) -> None:
        self.done = 0

    def do(self) -> None:
        """Must happen once."""
        self.done += 1
        assert self.done == 1


class StealQueue:
    """The queue of Cilk's THE protocol: its owner works at the tail, thieves at the head."""

    def __init__(self, size: int, *, slack: int) -> None:
        self.lock = threading.Lock()
        self.items: list[Job | None] = [None] * size
        self.head = 0
        self.tail = 0
        self.mask = size - 1
        self.slack = slack

    def push(self, job: Job) -> None:
        """Put a job at the tail. With `slack` 1 it takes the place of the oldest job in a full queue."""
        tail = self.tail
        if tail < self.head + self.mask + self.slack:
            self.items[tail & self.mask] = job
            self.tail = tail + 1
            return
        with self.lock:
            count = self.tail - self.head
            if count >= self.mask:
                jobs = [self.items[(self.head + k) & self.mask] for k in range(count)]
                size = len(self.items) * 2
                self.items = [*jobs, *[None] * (size - count)]
                self.mask = size - 1
                self.head, self.tail = 0, count
            self.items[self.tail & self.mask] = job
            self.tail += 1

    def pop(self) -> Job | None:
        """Take the newest job; the owner's."""
        tail = self.tail - 1
        self.tail = tail
        if self.head <= tail:
            return self.items[tail & self.mask]
        self.tail = tail + 1
        with self.lock:
            tail = self.tail - 1
            if self.head <= tail:
                self.tail = tail
                return self.items[tail & self.mask]
            return None

    def steal(self) -> Job | None:
        """Take the oldest job."""
        with self.lock:
            head = self.head
            self.head = head + 1
            if head < self.tail:
                return self.items[head & self.mask]
            self.head = head
            return None


def work_steal_queue(slack: int = 1) -> None:
    """An owner pushes and pops, a thief steals twice; no job is done twice."""
    queue = StealQueue(2, slack=slack)

    def steal() -> None:
        for _ in range(2):
            job = queue.steal()
            if job is not None:
                job.do()

    thief = threading.Thread(target=steal)
    thief.start()
    for _ in range(2):
        queue.push(Job())
        queue.push(Job())
        job = queue.pop()
        if job is not None:
            job.do()
    while (job := queue.pop()) is not None:
        job.do()
    thief.join()


class Table:
    """A table of trace units by name, as lists."""

    def __init__(self) -> None:
        self.rows: dict[int, list[int]] = {}

    def add(self, key: int) -> None:
        """Add to a row, which is made if it is not there."""
        if key not in self.rows:
            self.rows[key] = []
        self.rows[key].append(key)

    def drop(self, key: int) -> None:
        """Take a row away."""
        if key in self.rows:
            self.rows[key].pop()
            del self.rows[key]


def ctrace() -> None:
    """Threads register and leave in one table without a lock."""
    table = Table()

    def trace() -> None:
        table.add(1)
        table.drop(1)

    together(trace, trace)


def aget() -> None:
    """A handler saves the count of bytes while those who download still add to it."""
    lock = threading.Lock()
    state = State()
    saved: list[int] = []

    def download() -> None:
        for _ in range(2):
            with lock:
                state.a += 1

    def save() -> None:
        saved.append(state.a)

    together(download, download, save)
    assert saved == [state.a]


class Fifo:
    """A queue that can be freed under its readers."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.items: list[int] = [1, 2]
        self.freed = False

    def take(self) -> int | None:
        """Take an item; the queue must not be freed."""
        with self.lock:
            assert not self.freed
            return self.items.pop() if self.items else None


def pbzip2() -> None:
    """The main thread frees the queue while readers still come for more."""
    fifo = Fifo()

    def read() -> None:
        while fifo.take() is not None:
            pass

    threads = [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    while fifo.items:
        time.sleep(0)
    fifo.freed = True
    for thread in threads:
        thread.join()


def barrier_left_out() -> None:
    """The main thread looks at the results without waiting for those who make them (splash2 as ported)."""
    state = State()

    def compute() -> None:
        state.a = 1

    thread = threading.Thread(target=compute)
    thread.start()
    assert state.a == 1
    thread.join()


class SafeStack:
    """D. Vyukov's stack of indices: a node can be taken twice when its successor changes and changes back."""

    def __init__(self, size: int) -> None:
        self.head = Atomic("head", 0)
        self.count = Atomic("count", size)
        self.next = [Atomic(f"next{k}", k + 1 if k + 1 < size else -1) for k in range(size)]

    def pop(self) -> int:
        """Take a node, or -1."""
        while self.count.load() > 1:
            head = self.head.load()
            following = self.next[head].exchange(-1)
            if following >= 0:
                if self.head.swap_if(head, following):
                    self.count.add(-1)
                    return head
                self.next[head].exchange(following)
        return -1

    def push(self, node: int) -> None:
        """Put a node back."""
        while True:
            head = self.head.load()
            self.next[node].store(head)
            if self.head.swap_if(head, node):
                break
        self.count.add(1)


def safestack() -> None:
    """Three threads take a node twice each, and mark it as theirs."""
    stack = SafeStack(3)
    owner = [Atomic(f"owner{k}", -1) for k in range(3)]

    def work(me: int) -> None:
        for _ in range(2):
            node = stack.pop()
            while node < 0:
                time.sleep(0)
                node = stack.pop()
            owner[node].store(me)
            assert owner[node].load() == me
            stack.push(node)

    together(*[lambda me=me: work(me) for me in range(3)])
