"""Programs about coming to an end: spinning, polling, retrying, and two mutual exclusions without locks.

After the fairness samples of CHESS (Musuvathi, Qadeer, PLDI 2008).
"""

from __future__ import annotations

import threading
import time

from bench.programs.threads import State, together


def spin_good() -> None:
    """Polls and gives way: ends under every fair schedule."""
    state = State()

    def wait() -> None:
        while not state.first:
            time.sleep(0)

    def tell() -> None:
        state.first = True

    together(wait, tell)


def spin_noyield() -> None:
    """Polls without giving way: no fair scheduler of CHESS's kind brings it to an end."""
    state = State()

    def wait() -> None:
        while not state.first:
            pass

    def tell() -> None:
        state.first = True

    together(wait, tell)


def spin_never() -> None:
    """Polls for what nobody does."""
    state = State()

    def wait() -> None:
        while not state.first:
            time.sleep(0)

    together(wait)


def philosophers_try() -> None:
    """Takes one fork, tries the other, gives up, tries again."""
    forks = [threading.Lock(), threading.Lock()]

    def dine(seat: int) -> None:
        left, right = forks[seat], forks[1 - seat]
        while True:
            with left:
                if right.acquire(blocking=False):
                    right.release()
                    return
            time.sleep(0)

    together(lambda: dine(0), lambda: dine(1))


def peterson(*, late: bool = False) -> None:
    """Peterson's mutual exclusion by two flags and a turn, tried once; `late` raises the flag after the check."""
    state = State()
    wants = [State(), State()]
    turn = State()

    def enter(me: int) -> None:
        other = wants[1 - me]
        if not late:
            wants[me].first = True
            turn.a = 1 - me
        while other.first and (late or turn.a == 1 - me):
            time.sleep(0)
        wants[me].first = True
        state.a += 1
        assert state.a == 1
        state.a -= 1
        wants[me].first = False

    together(lambda: enter(0), lambda: enter(1))


def peterson_late() -> None:
    """Peterson's algorithm with the flag raised after the check."""
    peterson(late=True)
