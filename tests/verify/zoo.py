"""Small threaded programs with known faults, and their corrected twins.

`FAULTY` maps each program to the cause class that must be found; `SOUND` programs must never be
blamed. Nothing here knows of the toolkit: they are plain `threading`, as a user's code is.
"""

from __future__ import annotations

import queue
import selectors
import socket
import threading
import time
from collections.abc import Callable

Program = Callable[[], None]


def together(*bodies: Callable[[], object]) -> None:
    """Run each body in a thread and wait for all."""
    threads = [threading.Thread(target=body) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def abba() -> None:
    left = threading.Lock()
    right = threading.Lock()

    def one() -> None:
        with left, right:
            pass

    def two() -> None:
        with right, left:
            pass

    together(one, two)


def abba_ordered() -> None:
    left = threading.Lock()
    right = threading.Lock()

    def work() -> None:
        with left, right:
            pass

    together(work, work)


def philosophers(count: int = 3, *, ordered: bool = False) -> None:
    forks = [threading.Lock() for _ in range(count)]

    def dine(seat: int) -> None:
        first, second = seat, (seat + 1) % count
        if ordered and first > second:
            first, second = second, first
        with forks[first], forks[second]:
            pass

    together(*[lambda seat=seat: dine(seat) for seat in range(count)])


def philosophers_ordered() -> None:
    philosophers(ordered=True)


def lost_wakeup() -> None:
    condition = threading.Condition()

    def wait() -> None:
        with condition:
            condition.wait()

    def wake() -> None:
        with condition:
            condition.notify()

    together(wait, wake)


def kept_wakeup() -> None:
    condition = threading.Condition()
    ready: list[int] = []

    def wait() -> None:
        with condition:
            condition.wait_for(lambda: ready)

    def wake() -> None:
        with condition:
            ready.append(1)
            condition.notify()

    together(wait, wake)


def notify_one_of_two() -> None:
    condition = threading.Condition()
    ready: list[int] = []

    def wait() -> None:
        with condition:
            condition.wait_for(lambda: ready)

    def wake() -> None:
        with condition:
            ready.append(1)
            condition.notify()

    together(wait, wait, wake)


def dead_owner() -> None:
    lock = threading.Lock()

    def take_and_end() -> None:
        lock.acquire()

    def take() -> None:
        with lock:
            pass

    together(take_and_end, take)


def self_deadlock() -> None:
    lock = threading.Lock()

    def again() -> None:
        with lock, lock:
            pass

    together(again)


def spin_under_lock() -> None:
    lock = threading.Lock()
    done: list[int] = []

    def spin() -> None:
        with lock:
            while not done:
                pass

    def finish() -> None:
        with lock:
            done.append(1)

    together(spin, finish)


def polling_for_ever() -> None:
    flag = threading.Event()

    def poll() -> None:
        while not flag.is_set():
            time.sleep(0.01)

    together(poll, poll)


def polling_that_ends() -> None:
    flag = threading.Event()

    def poll() -> None:
        while not flag.is_set():
            time.sleep(0.01)

    together(poll, flag.set)


def lost_update() -> None:
    lock = threading.Lock()
    total = [0]

    def add() -> None:
        with lock:
            seen = total[0]
        with lock:
            total[0] = seen + 1

    together(add, add)
    assert total == [2]


def kept_update() -> None:
    lock = threading.Lock()
    total = [0]

    def add() -> None:
        with lock:
            total[0] += 1

    together(add, add)
    assert total == [2]


def sleep_as_synchronisation() -> None:
    result: list[int] = []

    def produce() -> None:
        time.sleep(0.1)
        result.append(1)

    thread = threading.Thread(target=produce)
    thread.start()
    time.sleep(0.2)
    assert result == [1]
    thread.join()


def timeout_overtakes() -> None:
    ready = threading.Event()

    def work() -> None:
        time.sleep(0.1)
        ready.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(1.0)
    thread.join()


def queue_in_order() -> None:
    items: queue.Queue[int] = queue.Queue(1)
    got: list[int] = []

    def produce() -> None:
        for item in range(3):
            items.put(item)

    def consume() -> None:
        got.extend(items.get() for _ in range(3))

    together(produce, consume)
    assert got == [0, 1, 2]


def queue_never_filled() -> None:
    items: queue.Queue[int] = queue.Queue()
    together(items.get, lambda: None)


def sockets_in_memory() -> None:
    near, far = socket.socketpair()
    received = []

    def serve() -> None:
        selector = selectors.DefaultSelector()
        selector.register(far, selectors.EVENT_READ)
        while True:
            selector.select()
            piece = far.recv(1 << 20)
            if not piece:
                return
            received.append(len(piece))

    def send() -> None:
        near.sendall(bytes(200_000))
        near.close()

    together(serve, send)
    assert sum(received) == 200_000
    assert len(received) > 1


def sockets_both_full() -> None:
    near, far = socket.socketpair()

    def fill(end: socket.socket) -> None:
        end.sendall(bytes(200_000))
        end.recv(1)

    together(lambda: fill(near), lambda: fill(far))


def server_and_client() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    address = server.getsockname()

    def serve() -> None:
        peer, _ = server.accept()
        with peer:
            peer.sendall(peer.recv(100).upper())

    def ask() -> None:
        with socket.create_connection(address) as client:
            client.sendall(b"hello")
            assert client.recv(100) == b"HELLO"

    together(serve, ask)
    server.close()


def semaphore_and_timer() -> None:
    slots = threading.BoundedSemaphore(1)
    rings: list[int] = []
    timer = threading.Timer(5.0, lambda: rings.append(1))
    timer.start()
    with slots:
        pass
    timer.join()
    assert rings == [1]


def thread_locals() -> None:
    mine = threading.local()
    mine.value = 0

    def work() -> None:
        assert not hasattr(mine, "value")
        mine.value = threading.get_ident()
        assert mine.value == threading.current_thread().ident

    together(work, work)
    assert mine.value == 0


def reentrant() -> None:
    lock = threading.RLock()

    def work() -> None:
        with lock, lock:
            pass

    together(work, work)


FAULTY: dict[Program, str] = {
    abba: "deadlock",
    philosophers: "deadlock",
    lost_wakeup: "lost wake-up",
    notify_one_of_two: "lost wake-up",
    dead_owner: "lock held by a dead thread",
    self_deadlock: "self-deadlock",
    spin_under_lock: "spin",
    polling_for_ever: "livelock",
    lost_update: "uncaught exception",
    sleep_as_synchronisation: "uncaught exception",
    timeout_overtakes: "uncaught exception",
    queue_never_filled: "blocked for ever",
    sockets_both_full: "deadlock",
}

SOUND: tuple[Program, ...] = (
    abba_ordered,
    philosophers_ordered,
    kept_wakeup,
    polling_that_ends,
    kept_update,
    queue_in_order,
    sockets_in_memory,
    server_and_client,
    semaphore_and_timer,
    thread_locals,
    reentrant,
)
