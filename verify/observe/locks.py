"""Lock and RLock with recording: CPython's own locks inside, so their semantics are CPython's.

Promises: results and errors are those of the real lock. A wait is recorded only where the lock is not free at the first
try. A hold is written after the lock is taken and cleared before it is given back, by whoever gives it back, so the
lock itself keeps two threads from writing the same record. Nothing is waited for but the lock.
Does not: trace the locks that the import system makes.

Where an exception (a KeyboardInterrupt, say) arrives between taking the lock and returning, the lock is given back: a
lock of C has no such gap, and a `with` statement could not give back what it never got. Where it arrives while the
lock is given back, the lock is free afterwards.
"""

from __future__ import annotations

import sys
import threading
from time import monotonic_ns
from typing import TYPE_CHECKING, NoReturn, Self

from verify import _real
from verify.observe.layout import (
    ENTRY,
    HOLD,
    HOLD_COUNT_AT,
    HOLDS_FULL,
    KIND,
    MOST_ENTRIES,
    OP,
    RING_AT,
)
from verify.observe.recorder import ENTRY_SIZE, SCRATCH_HOLD, WORD, Me, enter, local, recorder

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType

    from verify.lock_order.live import Ref
    from verify.primitives.locks import LockLike, RLockLike

_FACTORY: Callable[..., RLockLike] = threading.RLock  # type: ignore[explicit-any] # three versions of it
LOCK_TYPE = type(_real.allocate_lock())
RLOCK_TYPE = type(_real.RLock())
TIMEOUT_MAX = threading.TIMEOUT_MAX

RAW = frozenset({"importlib._bootstrap", "_frozen_importlib", "verify._real"})
"""Modules that get real locks whatever they ask for."""

_getframe = sys._getframe  # noqa: SLF001 - who calls is what is recorded
_pack_entry = ENTRY.pack_into
_pack_hold = HOLD.pack_into
_stacks = recorder.stacks

_ACQUIRE, _TRY, _RELEASE = OP["Lock.acquire"], OP["Lock.try_acquire"], OP["Lock.release"]
_R_ACQUIRE, _R_AGAIN, _R_TRY, _R_RELEASE = (
    OP[f"RLock.{name}"] for name in ("acquire", "reacquire", "try_acquire", "release")
)


def _is_plumbing(frame: FrameType) -> bool:
    """Say whether a lock is made for the import system, or for a thread's started event."""
    name = frame.f_globals.get("__name__")
    if name != "threading":
        return name in RAW
    for _ in range(2):
        outer = frame.f_back
        if outer is None:
            return False
        frame = outer
    return frame.f_code.co_qualname == "Thread.__init__"


class Traced:
    """What both kinds share: the real lock, its number, and who holds it since when.

    `owner` and `hold` say in whose slot the hold is written, and at which offset; they belong to the holder.
    """

    __slots__ = ("__weakref__", "count", "hold", "number", "owner", "place", "real", "ref")

    KIND = 0
    ACQUIRE = TRY = 0

    count: int
    """How often its holder has taken it."""
    number: int
    place: int
    owner: Me | None
    hold: int
    real: LockLike | RLockLike
    ref: Ref
    """What trails know it by, where lock orders are collected (`verify.lock_order.live`)."""

    def enrol(self, frame: FrameType | None, label: str = "") -> None:
        """Get a number."""
        self.owner = None
        self.hold = SCRATCH_HOLD
        self.number, self.place = recorder.register(self.KIND, frame, label=label)

    def taken(self, me: Me, frame: FrameType) -> int:
        """Write the hold; return the stack's number."""
        second = frame.f_back
        third = second.f_back if second is not None else None
        if second is not None and third is not None:
            key = (
                id(frame.f_code), frame.f_lasti, id(second.f_code), second.f_lasti, id(third.f_code), third.f_lasti
            )  # fmt: skip
            stack = _stacks.get(key) or recorder.new_stack(key, frame)
        else:
            stack = recorder.stack(frame)
        free = me.free
        if free:
            hold = free.pop()
        else:
            hold = SCRATCH_HOLD
            recorder.short_of(HOLDS_FULL)
        self.hold = hold
        self.owner = me
        _pack_hold(me.buffer, hold, self.number, monotonic_ns(), 1, stack)
        return stack

    def given_back(self, me: Me) -> None:
        """Clear the hold, in whoever's slot it is."""
        owner = self.owner
        if owner is not None:
            hold = self.hold
            self.owner = None
            me.words[hold >> 3] = 0
            if hold != SCRATCH_HOLD:
                owner.holds.append(hold)
                if owner.ended:
                    recorder.vacate(owner)

    def take(self, me: Me, blocking: bool, timeout: float, frame: FrameType) -> bool:
        """Take the lock for somebody who does not hold it; return whether it was taken."""
        if me.noise is not None:
            me.noise()
        operation = self.ACQUIRE
        result = 0
        if blocking is True and timeout == -1:
            if not self.real.acquire(False):
                self._wait(me, -1, frame)
        else:
            taken, operation = self._take(me, blocking, timeout, frame)
            result = 1 + taken
            if not taken:
                me.log(operation, self.number, recorder.site(frame), result)
                return False
        try:
            self.count = 1
            stack = self.taken(me, frame)
            if self is not me.inner:
                me.log(operation, self.number, stack, result)
        except BaseException:
            self.given_back(me)
            self.real.release()
            raise
        return True

    def _take(self, me: Me, blocking: bool, timeout: float, frame: FrameType) -> tuple[bool, int]:
        """Take the lock with a time limit, or not at all; the real lock says what is wrong with the arguments."""
        real = self.real
        if not blocking or not _is_limit(timeout):
            return real.acquire(blocking, timeout), self.TRY
        return real.acquire(False) or self._wait(me, timeout, frame), self.ACQUIRE

    def _wait(self, me: Me, timeout: float, frame: FrameType) -> bool:
        before = me.block(self.number, self.ACQUIRE, timeout, recorder.stack(frame))
        try:
            return self.real.acquire(True, timeout)
        finally:
            me.unblock(before)

    def __del__(self) -> None:
        try:
            owner = self.owner
            if owner is not None:
                self.given_back(owner)  # nobody can wait for it any more
            recorder.forget(self.place)
        except (AttributeError, TypeError):
            pass  # never enrolled, or the interpreter is half gone

    def __reduce__(self) -> NoReturn:
        kind = type(self.unwrap())
        raise TypeError(f"cannot pickle '{kind.__module__}.{kind.__qualname__}' object")

    def unwrap(self) -> object:
        """Return the real lock."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return repr(self.unwrap())


class Lock(Traced):
    """Stands in for `threading.Lock` on real threads."""

    __slots__ = ()

    KIND = KIND["Lock"]
    ACQUIRE, TRY = _ACQUIRE, _TRY

    real: LockLike  # type: ignore[mutable-override] # set once, by the class that knows which

    def __new__(cls) -> Self:
        """Make a lock; the import system gets a real one."""
        frame = _getframe(1)
        if _is_plumbing(frame):
            return _real.allocate_lock()  # type: ignore[return-value] # on purpose
        self = object.__new__(cls)
        self.real = _real.allocate_lock()
        self.enrol(frame)
        return self

    @classmethod
    def of(cls, real: LockLike, label: str) -> Self:
        """Stand for a lock that exists already."""
        self = object.__new__(cls)
        self.real = real
        self.enrol(None, label)
        return self

    def __init_subclass__(cls) -> None:
        raise TypeError("type '_thread.lock' is not an acceptable base type")

    @property  # type: ignore[misc] # nobody assigns it
    def __class__(self) -> type:
        """The real type, for `isinstance`."""
        return LOCK_TYPE

    def unwrap(self) -> LockLike:
        """Return the real lock."""
        return self.real

    def __enter__(self) -> bool:
        try:
            me: Me = local.me
        except AttributeError:
            me = enter()
        if me.noise is not None:
            me.noise()
        real = self.real
        frame = _getframe(1)
        if not real.acquire(False):
            self._wait(me, -1, frame)
        try:
            second = frame.f_back
            third = second.f_back if second is not None else None
            free = me.free
            if third is None or second is None or not free or self is me.inner:
                self._entered(me, frame)
                return True
            # `_entered`, spelled out: this is what most programs do most often.
            key = (
                id(frame.f_code), frame.f_lasti, id(second.f_code), second.f_lasti, id(third.f_code), third.f_lasti
            )  # fmt: skip
            stack = _stacks.get(key) or recorder.new_stack(key, frame)
            now = monotonic_ns()
            self.hold = hold = free.pop()
            self.owner = me
            _pack_hold(me.buffer, hold, self.number, now, 1, stack)
            me.ops = ops = me.ops + 1
            seq = me.next()
            _pack_entry(
                me.buffer, RING_AT + seq % MOST_ENTRIES * ENTRY_SIZE, seq, now, me.slot, _ACQUIRE, 0, 0,
                self.number & WORD, stack, ops & WORD,
            )  # fmt: skip
            if not ops & 63:
                me.count()
        except BaseException:
            self.given_back(me)
            real.release()
            raise
        return True

    def _entered(self, me: Me, frame: FrameType) -> None:
        stack = self.taken(me, frame)
        if self is not me.inner:
            _entry(me, _ACQUIRE, self.number, stack)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # `_release`, spelled out: this is what most programs do most often.
        try:
            me: Me = local.me
        except AttributeError:
            me = enter()
        if self.owner is not me or self is me.inner or me.noise is not None:
            self._release(me, _getframe(1))
            return
        try:
            self.owner = None
            hold = self.hold
            me.words[hold >> 3] = 0
            if hold != SCRATCH_HOLD:
                me.holds.append(hold)
            frame = _getframe(1)
            key = (id(frame.f_code), frame.f_lasti)
            me.ops = ops = me.ops + 1
            seq = me.next()
            _pack_entry(
                me.buffer, RING_AT + seq % MOST_ENTRIES * ENTRY_SIZE, seq, monotonic_ns(), me.slot, _RELEASE, 0, 0,
                self.number & WORD, _stacks.get(key) or recorder.site(frame), ops & WORD,
            )  # fmt: skip
            if not ops & 63:
                me.count()
        finally:
            self.real.release()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock; return whether it was taken."""
        try:
            me: Me = local.me
        except AttributeError:
            me = enter()
        return self.take(me, blocking, timeout, _getframe(1))

    def release(self) -> None:
        """Give the lock back."""
        try:
            me: Me = local.me
        except AttributeError:
            me = enter()
        self._release(me, _getframe(1))

    def _release(self, me: Me, frame: FrameType) -> None:
        real = self.real
        if self.owner is None and not real.locked():
            real.release()  # raises
        try:
            self.given_back(me)
            if self is me.inner:
                me.seq = me.next()
            else:
                key = (id(frame.f_code), frame.f_lasti)
                _entry(me, _RELEASE, self.number, _stacks.get(key) or recorder.site(frame))
        finally:
            real.release()
        if me.noise is not None:
            me.noise()

    def locked(self) -> bool:
        """Say whether somebody holds the lock."""
        return self.real.locked()

    acquire_lock = acquire
    release_lock = release
    locked_lock = locked

    def _is_owned(self) -> bool:
        """As a Condition asks: whether anybody holds it."""
        return self.real.locked()

    def _at_fork_reinit(self) -> None:
        self.given_back(local.me if hasattr(local, "me") else enter())
        self.real._at_fork_reinit()  # type: ignore[attr-defined]  # noqa: SLF001 - every lock has it


def _entry(me: Me, operation: int, thing: int, stack: int) -> None:
    """As `Me.log`, with fewer choices."""
    me.ops = ops = me.ops + 1
    seq = me.next()
    _pack_entry(
        me.buffer, RING_AT + seq % MOST_ENTRIES * ENTRY_SIZE, seq, monotonic_ns(), me.slot, operation, 0, 0,
        thing & WORD, stack, ops & WORD,
    )  # fmt: skip
    if not ops & 63:
        me.count()


def _is_limit(timeout: object) -> bool:
    return isinstance(timeout, int | float) and (timeout == -1 or 0 < timeout <= TIMEOUT_MAX)


class RLock(Traced):
    """Stands in for `threading.RLock` on real threads. `count` is how often its owner has taken it."""

    __slots__ = ()

    KIND = KIND["RLock"]
    ACQUIRE, TRY = _R_ACQUIRE, _R_TRY

    real: RLockLike

    def __new__(cls, *arguments: object, **keywords: object) -> Self:
        """Make a lock; the import system gets a real one."""
        frame = _getframe(1)
        if _is_plumbing(frame):
            return _real.RLock()  # type: ignore[return-value] # on purpose
        self = object.__new__(cls)
        # With arguments, as the factory has it: what it says of them differs from version to version.
        self.real = _FACTORY(*arguments, **keywords) if arguments or keywords else _real.RLock()
        self.count = 0
        self.enrol(frame)
        return self

    @classmethod
    def of(cls, real: RLockLike, label: str) -> Self:
        """Stand for a lock that exists already."""
        self = object.__new__(cls)
        self.real = real
        self.count = 0
        self.enrol(None, label)
        return self

    def unwrap(self) -> RLockLike:
        """Return the real lock."""
        return self.real

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take the lock, again if the caller holds it already; return whether it was taken."""
        return self._acquire(blocking, timeout, _getframe(1))

    def __enter__(self) -> bool:
        return self._acquire(True, -1, _getframe(1))

    def _acquire(self, blocking: bool, timeout: float, frame: FrameType) -> bool:
        try:
            me: Me = local.me
        except AttributeError:
            me = enter()
        if self.owner is me:
            return self._again(me, blocking, timeout, frame)
        return self.take(me, blocking, timeout, frame)

    def _again(self, me: Me, blocking: bool, timeout: float, frame: FrameType) -> bool:
        self.real.acquire(
            blocking, timeout
        )  # the caller's own: at once, or an error in the arguments
        self.count += 1
        if self.hold != SCRATCH_HOLD:
            me.words[self.hold + HOLD_COUNT_AT >> 3] += 1  # the low half of the word
        if self is not me.inner:
            me.log(_R_AGAIN, self.number, recorder.site(frame))
        return True

    def release(self) -> None:
        """Give the lock back once."""
        self._release(_getframe(1))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release(_getframe(1))

    def _release(self, frame: FrameType) -> None:
        try:
            me: Me = local.me
        except AttributeError:
            me = enter()
        real = self.real
        if self.owner is not me:
            real.release()  # raises, unless it was taken before there was a recording
            return
        count = self.count - 1
        try:
            if count:
                self.count = count
                if self.hold != SCRATCH_HOLD:
                    me.words[self.hold + HOLD_COUNT_AT >> 3] -= 1
            else:
                self.given_back(me)
            if self is me.inner:
                me.seq = me.next()
            else:
                _entry(me, _R_RELEASE, self.number, recorder.site(frame))
        finally:
            real.release()
        if me.noise is not None:
            me.noise()

    def _is_owned(self) -> bool:
        owned: bool = self.real._is_owned()  # type: ignore[attr-defined]  # noqa: SLF001 - as Condition does
        return owned

    def _recursion_count(self) -> int:
        count: int = self.real._recursion_count()  # type: ignore[attr-defined]  # noqa: SLF001 - as the real one
        return count

    if hasattr(RLOCK_TYPE, "locked"):  # Python 3.14 and later

        def locked(self) -> bool:
            """Say whether somebody holds the lock."""
            held: bool = self.real.locked()  # type: ignore[attr-defined] # where it exists
            return held

    def _release_save(self) -> object:
        me: Me = local.me if hasattr(local, "me") else enter()
        real = self.real
        if self.owner is me:
            self.given_back(me)
            if self is me.inner:
                me.seq = me.next()
        saved: object = real._release_save()  # type: ignore[attr-defined]  # noqa: SLF001 - as Condition does
        return saved

    def _acquire_restore(self, saved: tuple[int, int]) -> None:
        me: Me = local.me if hasattr(local, "me") else enter()
        frame = _getframe(1)
        real = self.real
        if not real.acquire(False):
            self._wait(me, -1, frame)
        self.count = saved[0]  # how deep the lock was held before, and by whom
        for _ in range(self.count - 1):
            real.acquire()
        self.taken(me, frame)
        if self.count > 1 and self.hold != SCRATCH_HOLD:
            me.words[self.hold + HOLD_COUNT_AT >> 3] += self.count - 1

    def _at_fork_reinit(self) -> None:
        self.given_back(local.me if hasattr(local, "me") else enter())
        self.real._at_fork_reinit()  # type: ignore[attr-defined]  # noqa: SLF001 - every lock has it
