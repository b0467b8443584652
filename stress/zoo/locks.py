"""Programs that hang in locks, conditions, queues and joins.

Ordinary threaded code. Threads are not daemons, so the main thread waits for them as programs do.
"""

from __future__ import annotations

import queue
import threading

__all__ = [
    "barrier",
    "condition",
    "dead_owner",
    "empty_queue",
    "join_cycle",
    "lock_cycle",
    "rlock",
    "semaphore",
]


def _run(*threads: threading.Thread) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def lock_cycle() -> None:
    """Two threads take two locks in opposite order, each holding its first."""
    savings = threading.Lock()
    current = threading.Lock()
    one_has = threading.Event()
    two_has = threading.Event()

    def move(
        first: threading.Lock, second: threading.Lock, mine: threading.Event, other: threading.Event
    ) -> None:
        with first:
            mine.set()
            other.wait()
            with second:
                pass

    _run(
        threading.Thread(target=move, args=(savings, current, one_has, two_has), name="one"),
        threading.Thread(target=move, args=(current, savings, two_has, one_has), name="two"),
    )


def condition() -> None:
    """A thread waits on a condition that was notified before it came, and checks nothing."""
    ready = threading.Condition()
    notified = threading.Event()

    def consume() -> None:
        notified.wait()
        with ready:
            ready.wait()

    def produce() -> None:
        with ready:
            ready.notify()
        notified.set()

    _run(
        threading.Thread(target=consume, name="consumer"),
        threading.Thread(target=produce, name="producer"),
    )


def empty_queue() -> None:
    """A worker waits for an item that its producer, gone after an error it swallowed, never put."""
    jobs: queue.Queue[int] = queue.Queue()

    def work() -> None:
        for _ in range(2):
            jobs.get()
            jobs.task_done()

    _run(
        threading.Thread(target=work, name="worker"),
        threading.Thread(target=jobs.put, args=(1,), name="producer"),
    )


def join_cycle() -> None:
    """Two threads wait for each other's end."""
    threads: list[threading.Thread] = []
    both = threading.Event()

    def wait_for(other: int) -> None:
        both.wait()
        threads[other].join()

    threads.append(threading.Thread(target=wait_for, args=(1,), name="first"))
    threads.append(threading.Thread(target=wait_for, args=(0,), name="second"))
    for thread in threads:
        thread.start()
    both.set()
    for thread in threads:
        thread.join()


def dead_owner() -> None:
    """A thread ends without giving its lock back."""
    lock = threading.Lock()
    thread = threading.Thread(target=lock.acquire, name="owner")
    thread.start()
    thread.join()
    with lock:
        pass


def rlock() -> None:
    """A re-entrant lock taken twice and given back once; its holder waits for a thread that wants it."""
    lock = threading.RLock()
    done = threading.Event()

    def want() -> None:
        with lock:
            done.set()

    def hold() -> None:
        lock.acquire()
        lock.acquire()
        lock.release()
        other = threading.Thread(target=want, name="wanting")
        other.start()
        other.join()

    _run(threading.Thread(target=hold, name="holding"))


def semaphore() -> None:
    """Two threads need two of two permits each, and have one each."""
    permits = threading.Semaphore(2)
    one_has = threading.Event()
    two_has = threading.Event()

    def take(mine: threading.Event, other: threading.Event) -> None:
        with permits:
            mine.set()
            other.wait()
            with permits:
                pass

    _run(
        threading.Thread(target=take, args=(one_has, two_has), name="one"),
        threading.Thread(target=take, args=(two_has, one_has), name="two"),
    )


def barrier() -> None:
    """A barrier for three, and two that come."""
    meeting = threading.Barrier(3)
    _run(
        threading.Thread(target=meeting.wait, name="one"),
        threading.Thread(target=meeting.wait, name="two"),
    )
