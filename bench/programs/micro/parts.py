"""What the small programs are made with: their table, threads side by side, and places to leave what was seen."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Micro = Callable[[], object]

PROGRAMS: dict[str, Micro] = {}


def micro(program: Micro) -> Micro:
    """Enter a program into the table."""
    PROGRAMS[program.__name__] = program
    return program


def beside(*bodies: Callable[[], object]) -> None:
    """Run the last body here and the others in threads of their own."""
    threads = [threading.Thread(target=body) for body in bodies[:-1]]
    for thread in threads:
        thread.start()
    bodies[-1]()
    for thread in threads:
        thread.join()


class Log(list[object]):
    """What the threads have done; no operation of the program's, and told by no hook."""

    def add(self, thing: object) -> None:
        """Append, as the end of an operation that is ordered already."""
        list.append(self, thing)


class Thing:
    """Has attributes."""

    a = 0
    b = 0
