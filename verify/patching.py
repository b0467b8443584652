"""Puts the models in place of the standard library's names for the length of a check, and takes them out again.

Promises: (1) methods of the Python-level classes are patched where they are defined, so subclasses,
early imports and objects made before the check are covered; (2) names that are C-level objects are
swept: every module's global that *is* the original gets the model, whatever it is called there; (3)
all of it is undone, also after a failed check, and what a module assigned itself in the meantime is
left alone. Threads that are not controlled keep the originals' behaviour. Does not do: locks made
before the check (they stay real).
"""

from __future__ import annotations

import _thread
import queue
import selectors
import socket
import sys
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from verify import adoption
from verify.primitives import (
    barriers,
    conditions,
    events,
    finalizers,
    futures,
    logs,
    polling,
    queues,
    selecting,
    semaphores,
    signals,
    thread_private,
    threads,
    times,
    uncontrolled,
)
from verify.primitives.locals import Local
from verify.primitives.locks import LOCK_IS_A_CLASS, Lock, RLock, allocate_lock
from verify.primitives.patches import Patch
from verify.primitives.selecting import Selector
from verify.primitives.sockets import Socket, create_connection, create_server, socketpair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FunctionType, ModuleType

OWN = (
    "verify",
    "traces",
    "greenlet",
    "_thread",
    "importlib",
    "_frozen_importlib",
    "_pytest",
    "pluggy",
    "pytest_timeout",
)


MODULES = (
    threads,
    events,
    conditions,
    semaphores,
    barriers,
    queues,
    futures,
    finalizers,
    logs,
    times,
    selecting,
    polling,
    signals,
    thread_private,
    uncontrolled,
)
ABSENT = object()


def method_rows() -> list[Patch]:
    """Return the patches of classes and of functions at their home."""
    out: list[Patch] = []
    for module in MODULES:
        out += module.rows()
    out += [
        Patch(_thread, "allocate_lock", allocate_lock),
        Patch(_thread, "allocate", allocate_lock),
        Patch(_thread, "RLock", RLock),
        Patch(threading, "Lock", Lock if LOCK_IS_A_CLASS else allocate_lock),
        Patch(threading, "_allocate_lock", allocate_lock),
        Patch(threading, "local", Local),
        Patch(queue, "SimpleQueue", queues.SimpleQueue),
        Patch(socket, "socket", Socket),
        Patch(socket, "socketpair", socketpair),
        Patch(socket, "create_connection", create_connection),
        Patch(socket, "create_server", create_server),
    ]
    out += [
        Patch(selectors, name, Selector)
        for name in ("DefaultSelector", "SelectSelector", "PollSelector", "EpollSelector")
        if hasattr(selectors, name)
    ]
    return out


class Patches:
    """The patches of one check: in place between `install` and `restore`."""

    def __init__(self) -> None:
        self.undo: list[Patch] = []

    def install(self) -> None:
        """Put every model in place."""
        rows = method_rows()
        replaced: dict[int, tuple[object, object]] = {}
        for row in rows:
            original = vars(row.owner).get(row.name, ABSENT)
            self.undo.append(Patch(row.owner, row.name, original))
            if original is not ABSENT and not isinstance(row.owner, type):
                replaced[id(original)] = (original, row.value)
        for row in rows:
            setattr(row.owner, row.name, row.value)
        for module in _swept():
            self._sweep(module, replaced)

    def _sweep(self, module: ModuleType, replaced: dict[int, tuple[object, object]]) -> None:
        names = vars(module)
        for name, value in list(names.items()):
            hit = replaced.get(id(value))
            if hit is not None and hit[0] is value:
                self.undo.append(Patch(module, name, value))
                names[name] = hit[1]

    def restore(self) -> None:
        """Take every model out again."""
        for row in reversed(self.undo):
            if row.value is ABSENT:
                with suppress(AttributeError):  # the program has taken it out itself
                    delattr(row.owner, row.name)  # inherited, or a builtin: it shows again
            else:
                setattr(row.owner, row.name, row.value)
        self.undo.clear()


def _swept() -> list[ModuleType]:
    return [
        module
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] not in OWN and type(module) is type(sys)
    ]


@contextmanager
def patched() -> Iterator[list[FunctionType]]:
    """Hold the models in place for the length of a `with` block; give the functions that there were before it."""
    patches = Patches()
    adopted: list[Patch] = []
    functions: list[FunctionType] = []
    patches.install()
    try:
        adoption.adopt(adopted, functions)
        finalizers.wrap_classes()
        yield functions
    finally:
        finalizers.restore_classes()
        thread_private.forget_dummies()
        adoption.restore(reversed(adopted))
        patches.restore()
