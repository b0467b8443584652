"""Small programs, each with one fault that one detector is for, and the same program corrected. Plain Python."""

from __future__ import annotations

import queue
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import verify

from .zoo import together


class Account:
    """Has a balance."""

    def __init__(self) -> None:
        self.balance = 0
        self.lock = threading.Lock()

    def get(self) -> int:
        """Read."""
        with self.lock:
            return self.balance

    def put(self, value: int) -> None:
        """Write."""
        with self.lock:
            self.balance = value


def race() -> None:
    account = Account()

    def add() -> None:
        account.balance += 1

    together(add, add)


def race_fixed() -> None:
    account = Account()

    def add() -> None:
        with account.lock:
            account.balance += 1

    together(add, add)
    assert account.balance == 2


def race_one_item() -> None:
    table = {"n": 0}

    def add() -> None:
        table["n"] += 1

    together(add, add)


def race_own_items() -> None:
    table = [0, 0]

    def add(place: int) -> None:
        table[place] += 1

    together(lambda: add(0), lambda: add(1))
    assert table == [1, 1]


def race_wrong_lock() -> None:
    account = Account()
    other = threading.Lock()

    def one() -> None:
        with account.lock:
            account.balance = 1

    def two() -> None:
        with other:
            account.balance = 2

    together(one, two)


def race_declared() -> None:
    together(
        lambda: verify.access("pages", 0, 8, write=True),
        lambda: verify.access("pages", 4, 5, write=False),
    )


def race_declared_apart() -> None:
    together(
        lambda: verify.access("pages", 0, 4, write=True),
        lambda: verify.access("pages", 4, 8, write=True),
    )


def lost_update() -> None:
    account = Account()
    together(lambda: account.put(account.get() + 1), lambda: account.put(account.get() + 1))


def lost_update_fixed() -> None:
    account = Account()

    def add() -> None:
        with account.lock:
            account.balance += 1

    together(add, add, add)
    assert account.balance == 3


def check_then_act() -> None:
    table: dict[str, int] = {}

    def make() -> None:
        if "key" not in table:
            table["key"] = 1

    together(make, make)


def check_then_act_fixed() -> None:
    table: dict[str, int] = {}
    lock = threading.Lock()

    def make() -> None:
        if "key" not in table:
            with lock:
                if "key" not in table:
                    table["key"] = 1

    together(make, make)


def check_other_keys() -> None:
    table: dict[str, int] = {}

    def make(key: str) -> None:
        if key not in table:
            table[key] = 1

    together(lambda: make("a"), lambda: make("b"))


def guard_then_act() -> None:
    account = Account()

    def close() -> None:
        seen = account.balance
        if seen:
            return
        account.balance = 1

    together(close, close)


def leak() -> None:
    wake = threading.Event()
    threading.Thread(target=wake.wait, daemon=True).start()


def leak_fixed() -> None:
    wake = threading.Event()
    thread = threading.Thread(target=wake.wait, daemon=True)
    thread.start()
    wake.set()
    thread.join()


def undrained() -> None:
    jobs: queue.Queue[int] = queue.Queue()

    def work() -> None:
        for number in range(2):
            jobs.put(number)

    together(work)
    jobs.get()


def undrained_fixed() -> None:
    jobs: queue.Queue[int] = queue.Queue(1)

    def work() -> None:
        for number in range(2):
            jobs.put(number)
        try:
            jobs.put_nowait(3)
            jobs.get_nowait()
        except (queue.Full, queue.Empty):
            pass

    thread = threading.Thread(target=work)
    thread.start()
    left = 2
    while left:
        left -= jobs.get() < 3
    thread.join()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(int, "7").result() == 7


def starve() -> None:
    mutex, turnstile = threading.Lock(), threading.Condition()
    readers = 2

    def write() -> None:
        with turnstile:
            while readers:
                turnstile.wait()

    def read() -> None:
        nonlocal readers
        while True:
            with turnstile:
                readers += 1
            with mutex:
                time.sleep(0)
            with turnstile:
                readers -= 1
                if readers == 0:
                    turnstile.notify_all()

    threads = [threading.Thread(target=read, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    write()


def starve_fixed() -> None:
    turnstile = threading.Condition()
    readers = 0
    writing = False

    def write() -> None:
        nonlocal writing
        with turnstile:
            writing = True
            while readers:
                turnstile.wait()

    def read() -> None:
        nonlocal readers
        while True:
            with turnstile:
                if writing:
                    return
                readers += 1
            time.sleep(0)
            with turnstile:
                readers -= 1
                turnstile.notify_all()

    together(read, read, write)


def lost_wakeup() -> None:
    ready = threading.Condition()
    verify.label(ready, "ready")

    def wait() -> None:
        with ready:
            ready.wait()

    def wake() -> None:
        with ready:
            ready.notify()

    together(wait, wake)


def lost_wakeup_fixed() -> None:
    ready = threading.Condition()
    done = False

    def wait() -> None:
        with ready:
            ready.wait_for(lambda: done)

    def wake() -> None:
        nonlocal done
        with ready:
            done = True
            ready.notify()

    together(wait, wake)


def cleared_event() -> None:
    go = threading.Event()
    verify.label(go, "go")

    def wake() -> None:
        go.set()
        go.clear()

    together(go.wait, wake)


def asleep_beside_a_heartbeat() -> None:
    threading.Thread(target=_heartbeat, daemon=True).start()
    lost_wakeup()


def deadlock_beside_a_heartbeat() -> None:
    threading.Thread(target=_heartbeat, daemon=True).start()
    left, right = threading.Lock(), threading.Lock()

    def one() -> None:
        left.acquire()
        right.acquire()
        right.release()
        left.release()

    def two() -> None:
        right.acquire()
        left.acquire()
        left.release()
        right.release()

    together(one, two)


def dead_owner_beside_a_heartbeat() -> None:
    threading.Thread(target=_heartbeat, daemon=True).start()
    lock = threading.Lock()
    together(lock.acquire)
    lock.acquire()


def hoped_for() -> None:
    verify.sometimes(True, "always")
    verify.sometimes(False, "never")
    race_fixed()


def _heartbeat() -> None:
    while True:
        time.sleep(1)
