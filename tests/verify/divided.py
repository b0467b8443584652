"""Programs that the tests of divided searches run in workers: what they do depends on the schedule."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

FOR_EVER = 3600


def harmless() -> None:
    """Do nothing."""


def segfault() -> None:
    ctypes.string_at(0)


def leave() -> None:
    os._exit(7)


def hold() -> None:
    ctypes.PyDLL(None).sleep(FOR_EVER)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def deaf() -> None:
    """Be blocked in a call that lets others run, but takes no signal."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGURG])
    ctypes.CDLL(None).sleep(FOR_EVER)


DEEDS: dict[str, Callable[[], None]] = {
    "nothing": harmless, "segfault": segfault, "leave": leave, "hold": hold, "kill": kill, "deaf": deaf,
}  # fmt: skip


def rare(deed: str = "nothing", writers: int = 4) -> None:
    """Do the deed in the one of `writers`! orders in which the writers come in reverse."""
    order: list[int] = []
    lock = threading.Lock()

    def write(number: int) -> None:
        with lock:
            order.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if order == sorted(order, reverse=True):
        if deed == "fail":
            raise AssertionError("in reverse")
        DEEDS[deed]()


def alone() -> None:
    """Start no thread."""


def several(writers: int = 4) -> None:
    """Fail in another way for each writer that is both first and last, and where one comes twice at once."""
    order: list[int] = []

    def write(number: int) -> None:
        with lock:
            order.append(number)
        time.sleep(0.001)
        with lock:
            order.append(number)

    lock = threading.Lock()
    threads = [threading.Thread(target=write, args=(number,)) for number in range(writers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if order[0] == order[-1]:
        raise AssertionError(f"writer {order[0]} is first and last")
    if order[:2] == [3, 3]:
        raise LookupError("writer 3 twice at once")


def counted() -> None:
    """Lose an update of a field that no lock protects: its accesses are learned on the way."""

    class Account:
        def __init__(self) -> None:
            self.balance = 0

    account = Account()

    def add() -> None:
        account.balance = account.balance + 1

    threads = [threading.Thread(target=add) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if account.balance != 2:
        raise AssertionError("an update is lost")
