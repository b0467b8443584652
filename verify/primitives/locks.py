"""Lock and RLock, and what stands for one that was there before the check.

Promises: any waiter may get a released lock (the schedule decides), as with pthread mutexes. A lock
may be released by another thread, an RLock only by its owner. `holder` is the task that took it. A
lock taken by `with` is expected back from its holder alone, so a cycle through it is a deadlock at
once; one taken by `acquire()` may be somebody's signal.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar
from weakref import ref

from verify import _real
from verify.runtime import current
from verify.runtime.gate import Gate
from verify.runtime.naming import Holdable

if TYPE_CHECKING:
    from types import TracebackType

    from verify.runtime.execution import Execution
    from verify.runtime.task import Task


TIMEOUT_MAX = threading.TIMEOUT_MAX
LOCK_IS_A_CLASS = sys.version_info >= (3, 13)  # before, `threading.Lock` is a function


class RLockLike(Protocol):
    """A real reentrant lock."""

    def acquire(self, blocking: bool = ..., timeout: float = ...) -> bool:
        """Take it."""
        ...

    def release(self) -> None:
        """Give it back."""
        ...


class LockLike(RLockLike, Protocol):
    """A real lock."""

    def locked(self) -> bool:
        """Say whether somebody holds it."""
        ...


def seconds(blocking: bool, timeout: float | None) -> float | None:
    """Turn acquire()'s two arguments into seconds to wait (None: for ever), with CPython's errors."""
    if timeout is None or timeout == -1:
        return None if blocking else 0.0
    if not blocking or timeout < 0 or timeout > TIMEOUT_MAX:
        # The real lock knows the words of this version.
        _real.allocate_lock().acquire(blocking, timeout)
    return timeout


class Mutex(Holdable):
    """What both locks are: a gate, and a holder. The names are those of the C types."""

    __slots__ = ("gate",)

    gate: Gate

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it; return whether it was taken."""
        raise NotImplementedError

    def release(self) -> None:
        """Give it back."""
        raise NotImplementedError

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


class Lock(Mutex):
    """Stands in for `threading.Lock`."""

    __slots__ = ()

    __module__ = "_thread"
    KIND = "Lock"

    def __new__(cls) -> Self:
        """Make a lock where CPython's type is one that can be called; else refuse as it does."""
        if not LOCK_IS_A_CLASS:
            raise TypeError(f"cannot create '{cls.__module__}.{cls.__name__}' instances")
        return allocate_lock()  # type: ignore[return-value] # the type is final

    def __init_subclass__(cls) -> None:
        if cls.__module__ != __name__:
            raise TypeError("type '_thread.lock' is not an acceptable base type")

    # The first execution binds it here; `acquire` in a later one adopts it anew.
    def adopt(self, execution: Execution) -> None:
        """Belong to `execution`, unlocked."""
        super().adopt(execution)
        self.gate = Gate(execution, self, is_open=True)
        self.holder = None
        execution.locks.append(ref(self))

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; return whether it was taken."""
        execution = current.execution
        if execution is None:
            return self._acquire_outside()
        if self.execution is not execution:
            self.adopt(execution)
        me = execution.current
        gate = self.gate
        if blocking and timeout == -1:
            execution.pass_gate(me, "Lock.acquire", self, gate)  # type: ignore[arg-type]
        elif not self._try(execution, me, gate, seconds(blocking, timeout)):  # type: ignore[arg-type]
            return False
        gate.owner = self.holder = me
        if gate.waiting:
            gate.set_closed()
        else:
            gate.open = False
        return True

    def _try(self, execution: Execution, me: Task, gate: Gate, timeout: float | None) -> bool:
        if timeout is not None and timeout <= 0:
            execution.point(me, "Lock.try_acquire", self)
            if not gate.open:
                me.yields += 1
            passed = gate.open
        else:
            passed = execution.pass_gate(me, "Lock.acquire", self, gate, timeout)
        if execution.listening:
            execution.result(me, result=passed)
        return passed

    def _acquire_outside(self) -> bool:
        taken = self.gate.open
        self.gate.open = False
        return taken

    def release(self) -> None:
        """Give the lock back."""
        execution = current.execution
        gate = self.gate
        if execution is None:
            gate.open = True
            self.holder = None
            return
        if self.execution is not execution:
            self.adopt(execution)
            gate = self.gate
        execution.point(execution.current, "Lock.release", self)  # type: ignore[arg-type]
        if gate.open:
            raise RuntimeError("release unlocked lock")
        self.free()

    def free(self) -> None:
        """Give the lock back without a scheduling point (inside a larger operation)."""
        gate = self.gate
        gate.owner = self.holder = None
        gate.firm = False
        if gate.waiting or gate.watchers:
            gate.set_open()
        else:
            gate.open = True

    def take_back(self, me: Task, saved: int) -> None:
        """Hold the lock again; the caller knows that it is free."""
        del saved
        self.gate.owner = self.holder = me
        self.gate.set_closed()

    def free_all(self, me: Task) -> int:
        """Give the lock back whatever the depth; return the depth for `take_back`."""
        del me
        self.free()
        return 1

    def locked(self) -> bool:
        """Say whether somebody holds the lock."""
        execution = current.execution
        if execution is not None and execution.current is not None:
            execution.point(execution.current, "Lock.locked", self)
        return not self.gate.open

    def _at_fork_reinit(self) -> None:
        """Free the lock, as CPython does in a forked child."""
        if not self.gate.open:
            self.free()

    def held_by_me(self, me: Task) -> bool:
        """Say whether the lock counts as held for Condition.wait (as CPython: whether anybody holds it)."""
        del me
        return not self.gate.open

    def __enter__(self) -> bool:
        self.acquire()
        self.gate.firm = True
        return True

    def __repr__(self) -> str:
        state = "unlocked" if self.gate.open else "locked"
        return f"<{state} threading.Lock object {self.title} at {id(self):#x}>"


def allocate_lock() -> Lock:
    """Stand in for `threading.Lock`: a model for a controlled caller, a real lock for any other thread."""
    running = current.controlled()
    if running is None:
        return _real.allocate_lock()  # type: ignore[return-value]
    lock = object.__new__(Lock)
    lock.adopt(running)
    return lock


allocate_lock.__module__ = "_thread"


class RLock(Mutex):
    """Stands in for `_thread.RLock`, which `threading.RLock` calls: arguments are for subclasses, as there."""

    __slots__ = ("count",)

    __module__ = "_thread"
    KIND = "RLock"

    def __new__(cls, *_args: object, **_kwargs: object) -> Self:
        """Make a model for a controlled caller, a real lock for any other thread."""
        running = current.controlled()
        if running is None and cls is RLock:
            return _real.RLock()  # type: ignore[return-value]
        self = object.__new__(cls)
        if running is None:
            self.count = 0
            self.execution = None  # type: ignore[assignment] # bound by first use
        else:
            self.adopt(running)
        return self

    def __init__(self, *_args: object, **_kwargs: object) -> None:
        """Ignore them."""

    def adopt(self, execution: Execution) -> None:
        """Belong to `execution`, unlocked."""
        super().adopt(execution)
        self.gate = Gate(execution, self, is_open=True)
        self.gate.firm = True
        self.holder = None
        self.count = 0
        execution.locks.append(ref(self))

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, again if the caller holds it already; return whether it was taken."""
        execution = current.execution
        if execution is None:
            self.count += 1
            return True
        if self.execution is not execution:
            self.adopt(execution)
        me = execution.current
        if me is None:
            self.count += 1
            return True
        wait = seconds(blocking, timeout)
        gate = self.gate
        if self.holder is me:
            execution.point(me, "RLock.reacquire", self)
            self.count += 1
            return True
        if wait is not None and wait <= 0:
            execution.point(me, "RLock.try_acquire", self)
            passed = gate.open
            if not passed:
                me.yields += 1
        else:
            passed = execution.pass_gate(me, "RLock.acquire", self, gate, wait)
        if wait is not None and execution.listening:
            execution.result(me, result=passed)
        if not passed:
            return False
        self.take_back(me, 1)
        return True

    def release(self) -> None:
        """Give the lock back once."""
        execution = current.execution
        if execution is None or execution.current is None:
            self.count = max(self.count - 1, 0)
            return
        me = execution.current
        execution.point(me, "RLock.release", self)
        if self.holder is not me:
            raise RuntimeError("cannot release un-acquired lock")
        self.count -= 1
        if self.count == 0:
            self.free()

    def free(self) -> None:
        """Give the lock back whatever the depth, without a scheduling point."""
        self.count = 0
        self.gate.owner = self.holder = None
        self.gate.set_open()

    def take_back(self, me: Task, saved: int) -> None:
        """Hold the lock again `saved` deep; the caller knows that it is free."""
        self.gate.owner = self.holder = me
        self.count = saved
        self.gate.set_closed()

    def free_all(self, me: Task) -> int:
        """Give the lock back whatever the depth; return the depth for `take_back`."""
        del me
        depth = self.count
        self.free()
        return depth

    def held_by_me(self, me: Task) -> bool:
        """Say whether `me` owns the lock."""
        return self.holder is me

    def _at_fork_reinit(self) -> None:
        """Free the lock, as CPython does in a forked child."""
        self.free()

    def _is_owned(self) -> bool:
        execution = current.execution
        return execution is not None and self.holder is execution.current

    def _recursion_count(self) -> int:
        return self.count if self._is_owned() else 0

    def _release_save(self) -> int:
        execution = current.execution
        if execution is None or execution.current is None or not self._is_owned():
            raise RuntimeError("cannot release un-acquired lock")
        return self.free_all(execution.current)

    def _acquire_restore(self, saved: int) -> None:
        self.acquire()
        self.count = saved

    def __enter__(self) -> bool:
        return self.acquire()

    def __repr__(self) -> str:
        state = "unlocked" if self.gate.open else "locked"
        return f"<{state} threading.RLock object {self.title} count={self.count} at {id(self):#x}>"


R = TypeVar("R", bound=RLockLike)


class Adopted(Mutex, Generic[R]):
    """What stands for a lock that was there before the check: `real` serves everyone the check does not control."""

    __slots__ = ()

    real: R
    found: str

    @classmethod
    def of(cls, real: R, found: str = "") -> Self:
        """Make a stand-in for `real`, which was found under the name `found` (`module.LOCK`, `Class.attribute`)."""
        self = object.__new__(cls)
        self.found = found  # type: ignore[misc] # as below
        self.real = real  # type: ignore[misc] # a slot of the subclasses: two bases cannot both bring one
        self.execution = None  # type: ignore[assignment] # bound by first use
        return self

    def adopt(self, execution: Execution) -> None:
        """Belong to `execution`, free, and named in the order of first use."""
        super().adopt(execution)
        execution.early += 1
        self.creator, self.serial = "early", execution.early
        self.site = ""  # where it is used first says nothing of where it was made
        if self.found and execution.record_sites:
            self.entitle(self.found)

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the model, or the real lock for an uncontrolled caller."""
        if current.controlled() is None:
            return self.real.acquire(blocking, timeout)
        return super().acquire(blocking, timeout)

    def release(self) -> None:
        """Give back the model, or the real lock for an uncontrolled caller."""
        if current.controlled() is None:
            self.real.release()
        else:
            super().release()

    def __repr__(self) -> str:
        return f"<stand-in for {self.real!r}>"


class AdoptedLock(Adopted[LockLike], Lock):
    """Stands for a real lock."""

    __slots__ = ("found", "real")

    def adopt(self, execution: Execution) -> None:
        """Belong to `execution`, in the state in which the real lock is."""
        super().adopt(execution)
        if self.real.locked():
            self.gate.open = False

    def locked(self) -> bool:
        """Say whether somebody holds it."""
        return self.real.locked() if current.controlled() is None else super().locked()

    def __enter__(self) -> bool:
        return super().__enter__() if current.controlled() is not None else self.real.acquire()


class AdoptedRLock(Adopted[RLockLike], RLock):
    """Stands for a real reentrant lock, which is free when a check starts."""

    __slots__ = ("found", "real")
