"""The eight cases of lock order: three can deadlock, five cannot though locks are taken both ways."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import verify

from .zoo import together

if TYPE_CHECKING:
    from collections.abc import Callable


def _one_after_the_other(*bodies: Callable[[], None]) -> None:
    for body in bodies:
        thread = threading.Thread(target=body)
        thread.start()
        thread.join()


def abba() -> None:
    """Two locks, taken both ways by two threads."""
    a = threading.Lock()
    b = threading.Lock()

    def ab() -> None:
        with a, b:
            pass

    def ba() -> None:
        with b, a:
            pass

    together(ab, ba)


def three() -> None:
    """A cycle of three locks and three threads: no pair is taken both ways."""
    a = threading.Lock()
    b = threading.Lock()
    c = threading.Lock()

    def take(first: threading.Lock, second: threading.Lock) -> Callable[[], None]:
        def body() -> None:
            with first, second:
                pass

        return body

    together(take(a, b), take(b, c), take(c, a))


class Account:
    """An account with a lock of its own."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.balance = 10


def transfer(source: Account, target: Account) -> None:
    with source.lock, target.lock:
        source.balance -= 1
        target.balance += 1


def bank() -> None:
    """Transfers both ways between two accounts: two locks of one class."""
    one, two = Account(), Account()
    together(lambda: transfer(one, two), lambda: transfer(two, one))


def joined() -> None:
    """Both ways, but the second thread starts after the first has ended."""
    a = threading.Lock()
    b = threading.Lock()

    def ab() -> None:
        with a, b:
            pass

    def ba() -> None:
        with b, a:
            pass

    _one_after_the_other(ab, ba)


def gate() -> None:
    """Both ways, each time under a third lock."""
    a = threading.Lock()
    b = threading.Lock()
    outer = threading.Lock()

    def ab() -> None:
        with outer, a, b:
            pass

    def ba() -> None:
        with outer, b, a:
            pass

    together(ab, ba)


def single() -> None:
    """Both ways, by one thread."""
    a = threading.Lock()
    b = threading.Lock()
    with a, b:
        pass
    with b, a:
        pass


def tried() -> None:
    """One way, and the other way with a try that gives up."""
    a = threading.Lock()
    b = threading.Lock()

    def ab() -> None:
        with a, b:
            pass

    def ba() -> None:
        with b:
            if a.acquire(blocking=False):
                a.release()

    together(ab, ba)


def again() -> None:
    """A re-entrant lock taken again under the second one by its holder."""
    a = threading.RLock()
    b = threading.Lock()

    def aba() -> None:
        with a, b, a:
            pass

    together(aba, aba)


REAL = (abba, three, bank)
SILENT = {
    joined: "ordered",
    gate: "gate",
    single: "one thread",
    tried: "try-lock",
    again: "re-entrant",
}


class Books:
    """A read/write lock built of a condition, which says so; `shared` readers go together."""

    def __init__(self) -> None:
        self.free = threading.Condition()
        self.readers = 0
        self.writer = False

    def read(self) -> None:
        """Take it for reading."""
        verify.lock_acquiring(self, shared=True, name="books")
        with self.free:
            while self.writer:
                self.free.wait()
            self.readers += 1

    def write(self) -> None:
        """Take it for writing."""
        verify.lock_acquiring(self, name="books")
        with self.free:
            while self.writer or self.readers:
                self.free.wait()
            self.writer = True

    def done(self) -> None:
        """Give it back."""
        verify.lock_releasing(self)
        with self.free:
            if self.writer:
                self.writer = False
            else:
                self.readers -= 1
            self.free.notify_all()


def books(*, write: bool) -> None:
    """A read/write lock and a lock, both ways; the one side reads, the other writes or reads, too."""
    ledger = Books()
    other = threading.Lock()

    def books_first() -> None:
        ledger.read()
        with other:
            pass
        ledger.done()

    def other_first() -> None:
        with other:
            (ledger.write if write else ledger.read)()
            ledger.done()

    together(books_first, other_first)


def writers() -> None:
    books(write=True)


def shelves() -> None:
    """Two read/write locks, read both ways: readers go together."""
    left, right = Books(), Books()

    def take(first: Books, second: Books) -> Callable[[], None]:
        def body() -> None:
            first.read()
            second.read()
            second.done()
            first.done()

        return body

    together(take(left, right), take(right, left))


def keyed(*, rising: bool = True) -> None:
    """Transfers both ways, each taking the account of the lower number first; or the higher one, once."""
    accounts = [Account(), Account()]
    for number, account in enumerate(accounts):
        verify.lock_order_key(account.lock, number)

    def move(first: int, second: int) -> Callable[[], None]:
        low, high = sorted((first, second))
        return lambda: transfer(accounts[low], accounts[high])

    together(move(0, 1), move(1, 0))
    if not rising:
        transfer(accounts[1], accounts[0])


def falling() -> None:
    keyed(rising=False)


def monitor() -> None:
    """A thread waits for a notification holding a lock that the notifier needs."""
    outer = threading.Lock()
    ready = threading.Condition()
    done: list[int] = []

    def wait() -> None:
        with outer, ready:
            if not done:
                ready.wait()

    def notify() -> None:
        with outer, ready:
            done.append(1)
            ready.notify()

    together(notify, wait)


def signalled() -> None:
    """A lock that another thread gives back is a signal: a circle through it is no matter of order."""
    a = threading.Lock()
    signal = threading.Lock()

    def work() -> None:
        with a:
            signal.acquire()

    def give() -> None:
        signal.release()
        with a:
            pass

    signal.acquire()
    with a:
        pass
    together(work, give)


def in_flags() -> None:
    """Both ways, but an event keeps the second from beginning before the first is done: no start and no join."""
    a = threading.Lock()
    b = threading.Lock()
    done = threading.Event()

    def ab() -> None:
        with a, b:
            pass
        done.set()

    def ba() -> None:
        done.wait()
        with b, a:
            pass

    together(ab, ba)


def only_ab() -> None:
    """One half of a cycle, by a thread."""
    pair = Pair()
    together(pair.forth)


def only_ba() -> None:
    """The other half."""
    pair = Pair()
    together(pair.back)


class Pair:
    """Two locks of two classes."""

    def __init__(self) -> None:
        self.a = threading.Lock()
        self.b = threading.Lock()

    def forth(self) -> None:
        """Take `a`, then `b`."""
        with self.a, self.b:
            pass

    def back(self) -> None:
        """Take `b`, then `a`."""
        with self.b, self.a:
            pass
