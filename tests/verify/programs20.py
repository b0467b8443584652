"""Twenty small threaded programs, sound under every schedule, that between them use what threaded Python is made of.

Plain Python, as a user's code is: nothing here knows of the toolkit. `PROGRAMS` lists them.
`bench.determinism` runs one schedule of each again and again, and on other versions of Python.
"""

from __future__ import annotations

import contextvars
import itertools
import logging
import queue
import random
import selectors
import socket
import threading
import time
import uuid
import weakref
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, as_completed, wait
from contextlib import suppress
from threading import Lock
from threading import Thread as Worker
from unittest import mock

Program = Callable[[], None]
Task = Callable[[], object]


def together(*bodies: Task) -> None:
    """Run each body in a thread and wait for all."""
    threads = [threading.Thread(target=body) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Noisy:
    """Takes a lock when it goes."""

    def __init__(self, lock: threading.Lock, gone: list[int]) -> None:
        self.lock = lock
        self.gone = gone

    def __del__(self) -> None:
        with self.lock:
            self.gone.append(1)


def finalizers() -> None:
    lock = threading.Lock()
    gone: list[int] = []

    def work() -> None:
        things = [Noisy(lock, gone) for _ in range(2)]
        while things:
            things.pop()

    together(work, work)
    assert len(gone) == 4


def weak_callbacks() -> None:
    lock = threading.RLock()
    rings: list[str] = []

    class Thing:
        pass

    def ring(what: str) -> None:
        with lock:
            rings.append(what)

    def work() -> None:
        thing = Thing()
        reference = weakref.ref(thing, lambda _: ring("callback"))
        weakref.finalize(thing, ring, "finalize")
        with lock:
            del thing
        assert reference() is None

    together(work, work)
    assert sorted(rings) == ["callback"] * 2 + ["finalize"] * 2


def thread_pool() -> None:
    lock = threading.Lock()
    done: list[int] = []

    def square(n: int) -> int:
        with lock:
            done.append(n)
        return n * n

    with ThreadPoolExecutor(max_workers=2) as pool:
        assert [0, 1, 4, 9] == list(pool.map(square, range(4)))
    assert sorted(done) == [0, 1, 2, 3]


def completed_futures() -> None:
    def half(n: int) -> int:
        time.sleep(0.1 * n)
        if n % 2:
            raise ValueError(n)
        return n // 2

    with ThreadPoolExecutor(3) as pool:
        futures = {pool.submit(half, n): n for n in range(4)}
        first, _ = wait(futures, return_when=FIRST_COMPLETED)
        assert first
        for future in as_completed(futures):
            n = futures[future]
            if n % 2:
                assert isinstance(future.exception(), ValueError)
            else:
                assert future.result() == n // 2


class Kept(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        self.lines.append(f"{record.threadName}: {record.getMessage()}")


def logs() -> None:
    logger, kept = logging.getLogger("programs20"), Kept()
    logger.propagate = False
    logger.addHandler(kept)

    def work() -> None:
        for n in range(2):
            logger.warning("line %d", n)

    together(work, work)
    logger.removeHandler(kept)
    assert len(kept.lines) == 4


def time_outs() -> None:
    event, lock = threading.Event(), threading.Lock()
    seen: list[bool] = []

    def waiter() -> None:
        seen.append(event.wait(0.5))
        if lock.acquire(timeout=0.2):
            lock.release()
        with suppress(queue.Empty):
            queue.Queue[int]().get(timeout=0.1)

    def setter() -> None:
        with lock:
            time.sleep(0.3)
        start = time.monotonic()
        time.sleep(0.3)
        assert time.monotonic() - start >= 0.3
        event.set()

    together(waiter, setter)
    assert len(seen) == 1


def _echo(listener: socket.socket, clients: int) -> None:
    for _ in range(clients):
        peer, _ = listener.accept()
        with peer:
            while data := peer.recv(4):
                peer.sendall(data)


def _ask(client: socket.socket, text: bytes) -> None:
    with client:
        client.sendall(text)
        client.shutdown(socket.SHUT_WR)
        back = b""
        while data := client.recv(16):
            back += data
    assert back == text


def tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
        together(
            lambda: _echo(listener, 2),
            lambda: _ask(socket.create_connection(address), b"from the first"),
            lambda: _ask(socket.create_connection(address), b"second"),
        )


def unix_socket() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind("\0programs20")
        listener.listen()
        client = socket.socket(socket.AF_UNIX)

        def ask() -> None:
            client.connect("\0programs20")
            _ask(client, b"over a unix socket")

        together(lambda: _echo(listener, 1), ask)


def selected() -> None:
    pairs = [socket.socketpair() for _ in range(2)]
    got: dict[int, bytes] = {0: b"", 1: b""}

    def read() -> None:
        with selectors.DefaultSelector() as selector:
            for n, (_, mine) in enumerate(pairs):
                mine.setblocking(False)
                selector.register(mine, selectors.EVENT_READ, n)
            while selector.get_map():
                for key, _ in selector.select(timeout=1.0):
                    end = pairs[key.data][1]
                    data = end.recv(8)
                    got[key.data] += data
                    if not data:
                        selector.unregister(end)
                        end.close()

    def write(n: int) -> None:
        with pairs[n][0] as end:
            end.sendall(b"one ")
            end.sendall(b"two")

    together(read, lambda: write(0), lambda: write(1))
    assert got == {0: b"one two", 1: b"one two"}


def timers() -> None:
    lock = threading.Lock()
    fired: list[int] = []

    def fire(n: int) -> None:
        with lock:
            fired.append(n)

    running = [threading.Timer(0.1 * n, fire, (n,)) for n in range(1, 4)]
    for timer in running:
        timer.start()
    time.sleep(0.15)
    running[2].cancel()
    for timer in running:
        timer.join()
    assert {1, 2} <= set(fired)


def early_imports() -> None:
    lock = Lock()
    total = 0

    def add() -> None:
        nonlocal total
        for _ in range(3):
            with lock:
                total += 1

    workers = [Worker(target=add) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert total == 6


def thread_local() -> None:
    local, lock = threading.local(), threading.Lock()
    ends: list[int] = []
    local.n = 100

    def work() -> None:
        assert not hasattr(local, "n")
        local.n = 0
        for _ in range(2):
            with lock:
                local.n += 1
        ends.append(local.n)

    together(work, work)
    assert (local.n, ends) == (100, [2, 2])


class Adder(threading.Thread):
    """A thread that carries its result."""

    def __init__(self, numbers: queue.Queue[int | None]) -> None:
        super().__init__(name="adder", daemon=False)
        self.numbers = numbers
        self.total = 0

    def run(self) -> None:
        """Add what comes until None does."""
        while (n := self.numbers.get()) is not None:
            self.total += n


def subclasses() -> None:
    numbers: queue.Queue[int | None] = queue.Queue(2)
    adders = [Adder(numbers) for _ in range(2)]
    for adder in adders:
        adder.start()
    for n in (1, 2, 3, None, None):
        numbers.put(n)
    for adder in adders:
        adder.join(60)
        assert adder.ident is not None
    if not any(adder.is_alive() for adder in adders):
        assert sum(adder.total for adder in adders) == 6


def barriers() -> None:
    rounds: list[int] = []
    barrier = threading.Barrier(3, action=lambda: rounds.append(1))

    def work() -> None:
        for _ in range(2):
            barrier.wait()

    together(work, work, work)
    assert len(rounds) == 2
    late = threading.Barrier(2)
    with suppress(threading.BrokenBarrierError):
        late.wait(0.1)
    assert late.broken


def queue_kinds() -> None:
    first_in = queue.Queue[int](1)
    last_in = queue.LifoQueue[int]()
    smallest = queue.PriorityQueue[int]()
    simple = queue.SimpleQueue[int]()

    def fill() -> None:
        for n in (2, 1):
            first_in.put(n)
            last_in.put(n)
            smallest.put(n)
            simple.put(n)

    def drain() -> None:
        kinds = (first_in, last_in, smallest, simple)
        taken = [[kind.get() for kind in kinds] for _ in range(2)]
        assert [row[0] for row in taken] == [row[3] for row in taken] == [2, 1]
        for _ in range(2):
            first_in.task_done()

    together(fill, drain)
    first_in.join()
    with suppress(queue.Empty):
        first_in.get_nowait()


REQUEST: contextvars.ContextVar[str] = contextvars.ContextVar("request", default="none")


def context_variables() -> None:
    lock = threading.Lock()
    token = REQUEST.set("main")
    seen: list[str] = []

    def work(name: str) -> None:
        with lock:
            seen.append(REQUEST.get())
        REQUEST.set(name)
        with lock:
            assert REQUEST.get() == name

    copied = contextvars.copy_context()
    together(lambda: work("a"), lambda: work("b"), lambda: copied.run(work, "c"))
    assert REQUEST.get() == "main"
    REQUEST.reset(token)
    assert "main" in seen


def random_values() -> None:
    lock = threading.Lock()
    names: list[str] = []

    def work() -> None:
        for _ in range(random.randint(1, 4)):
            with lock:
                names.append(str(uuid.uuid4()))
        if random.random() < 0.5:
            with lock:
                names.append(str(uuid.uuid1()))
        for _ in range(uuid.uuid4().int % 3):
            time.sleep(random.Random().random())

    together(work, work)
    assert len(names) == len(set(names))


def conditions() -> None:
    condition = threading.Condition()
    items: list[int] = []

    def consume(count: int) -> None:
        with condition:
            assert condition.wait_for(lambda: len(items) >= count)
            items.append(0)
            condition.notify()

    def produce() -> None:
        for n in range(2):
            with condition:
                items.append(n)
                condition.notify_all()
        with condition:
            condition.wait_for(lambda: len(items) > 9, timeout=0.1)

    together(lambda: consume(1), lambda: consume(2), produce)
    assert len(items) == 4


def semaphores() -> None:
    places = threading.BoundedSemaphore(2)
    start = threading.Semaphore(0)
    inside, most = itertools.count(), [0]
    here: list[int] = []

    def work() -> None:
        start.acquire()
        with places:
            here.append(next(inside))
            most.append(len(here))
            time.sleep(0.01)
            here.pop()
        if places.acquire(blocking=False):
            places.release()

    def go() -> None:
        start.release(2)
        start.release()

    together(work, work, work, go)
    assert max(most) <= 2


def daemons_and_hooks() -> None:
    stop, lock = threading.Event(), threading.Lock()
    beats: list[int] = []
    failed: list[str] = []

    def beat() -> None:
        while not stop.wait(0.1):
            with lock:
                beats.append(1)

    def leave() -> None:
        with lock:
            raise SystemExit

    def hook(args: threading.ExceptHookArgs) -> None:
        with lock:
            failed.append(args.exc_type.__name__)

    with mock.patch.object(threading, "excepthook", hook):
        daemon = threading.Thread(target=beat, daemon=True)
        daemon.start()
        together(leave, leave)
        time.sleep(0.25)
        if lock.acquire(timeout=1):
            lock.release()
        stop.set()
    endless = threading.Thread(target=threading.Event().wait, daemon=True)
    endless.start()
    assert not failed
    assert endless.is_alive()


PROGRAMS: tuple[Program, ...] = (
    finalizers, weak_callbacks, thread_pool, completed_futures, logs, time_outs, tcp, unix_socket,
    selected, timers, early_imports, thread_local, subclasses, barriers, queue_kinds,
    context_variables, random_values, conditions, semaphores, daemons_and_hooks,
)  # fmt: skip
