"""The source of lock orders on real threads: what the flight recorder's traced locks do, kept as trails.

Promises: results and errors are those of the traced locks, and so of the real ones. An acquisition is noted before it
is made, so that one which never returns is there, too. A thread writes its own trail only; nothing is waited for.
Locks inside the standard library's composed objects (a queue's mutex, an event's condition) are left out: nobody
else can take them. A lock that another thread gives back is a signal and is not held from then on.
Assumes that `verify.observe` records, or is about to: locks made before `begin` have no class.
Does not: see `_thread.start_new_thread` order threads (a start by `threading.Thread` does), nor locks of C.
"""

from __future__ import annotations

import os
import sys
import threading
from functools import partial
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakKeyDictionary

from traces.lock_order import Graph, LockClass, Mode
from verify import _real
from verify.lock_order import declared
from verify.lock_order.classes import DECLARED, class_of
from verify.lock_order.judge import judge
from verify.lock_order.keys import order_of
from verify.lock_order.merge import merged
from verify.lock_order.trails import Run, Trail
from verify.observe import composed, conditions, threads
from verify.observe.layout import KINDS
from verify.observe.locks import Lock, RLock, Traced
from verify.observe.recorder import Me, local, me
from verify.sites import describe, is_framework, short, store_after

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

    from verify.observe.composed import Method

__all__ = ["begin", "collecting", "end", "end_run", "taken"]

_getframe = sys._getframe  # noqa: SLF001 - who calls is what is recorded
_FOLDED: Final = frozenset(
    {threading.__file__, __file__, conditions.__file__, composed.__file__, threads.__file__}
)
REAL: Final = "real threads"
MOST_TRAILS: Final = 1024
"""Threads of one run, above which those that ended and left nothing are forgotten."""


class Kin(NamedTuple):
    """What locks of one class have in common: what they are called, their kind, where they are made."""

    name: str
    kind: str
    site: str


class Ref:
    """One lock as trails know it; it outlives the lock. Each lock has one, so it is told by identity."""

    __slots__ = ("kin",)

    def __init__(self, kin: Kin) -> None:
        self.kin = kin


class _State:
    """What is in place now. `graph` holds the runs that are over."""

    def __init__(self) -> None:
        self.on = False
        self.source = ""
        self.undo: list[tuple[object, str, object]] = []
        self.run = Run()
        self.graph = Graph()
        self.kin: dict[object, Kin] = {}
        self.alive: dict[object, object] = {}
        self.clocks: WeakKeyDictionary[threading.Thread, dict[int, int]] = WeakKeyDictionary()
        self.trails: WeakKeyDictionary[threading.Thread, Trail] = WeakKeyDictionary()
        self.declared: WeakKeyDictionary[object, Ref] = WeakKeyDictionary()
        self.fork = False


_state = _State()


class _Mine(Trail):
    """A thread's trail, with the recorder's record of the thread."""

    __slots__ = ("me",)

    def __init__(self, run: Run, me: Me, title: str, clock: dict[int, int], *, main: bool) -> None:
        self.me = me  # first: the run's other threads see the trail from here on
        super().__init__(run, me.slot, title, clock, main=main)


def collecting() -> bool:
    """Say whether lock orders are collected in this process."""
    return _state.on


def begin(source: str = "") -> None:
    """Collect from now on, for a program `source`; locks made before this, or found before it, have no class."""
    if _state.on:
        raise RuntimeError("lock orders are collected in this process already; call end() first")
    _state.on = True
    _state.source = source or REAL
    _state.run, _state.graph = Run(), Graph()
    for trail in list(_state.trails.values()):
        trail.split()
        trail.held = []
        _renew(trail, _state.run)
    for owner, name, wrap in _wraps():
        original = vars(owner)[name]
        _state.undo.append((owner, name, original))
        setattr(owner, name, wrap(original))
    declared.live.acquiring = _declare
    declared.live.releasing = _undeclare
    if not _state.fork:
        _state.fork = True
        os.register_at_fork(after_in_child=_after_fork)


def end_run() -> Graph:
    """End a run (a test), begin the next one; return the graph of the one that ended."""
    run, _state.run = _state.run, Run()
    past = Run(handed=run.handed.copy(), notes=run.notes.copy())
    _state.run.handed |= past.handed
    for trail in run.trails:
        past.trails.append(trail.split())
        if isinstance(trail, _Mine) and not trail.me.ended:
            _renew(trail, _state.run)
    graph = judge(past, _NAMES, _state.source)
    _state.graph = merged([_state.graph, graph])
    return graph


def taken() -> Graph:
    """Return the graph of the runs that are over, and forget them."""
    graph, _state.graph = _state.graph, Graph()
    return graph


def end() -> Graph:
    """Stop collecting; return the graph of all runs since `begin`."""
    if not _state.on:
        return Graph()
    end_run()
    for owner, name, original in reversed(_state.undo):
        setattr(owner, name, original)
    _state.undo.clear()
    declared.live.acquiring = declared.live.releasing = None
    _state.on = False
    return taken()


def _after_fork() -> None:
    """A child goes on with the thread that forked, and with what that thread holds; what was before is the parent's."""
    if not _state.on:
        return
    mine: Trail | None = getattr(local, "trail", None)
    _state.graph = Graph()
    _state.run = Run(handed=_state.run.handed)
    if mine is not None:
        mine.split()
        _renew(mine, _state.run)


# --- one thread


def _trail() -> _Mine:
    """Return the calling thread's trail, begun with the clock of whoever started the thread."""
    try:
        known: _Mine = local.trail
    except AttributeError:
        record = me()
        thread = record.thread
        clock = _state.clocks.get(thread, {}) if thread is not None else {}
        title = str(vars(thread).get("_name")) if thread is not None else f"thread {record.native}"
        is_main = thread is _real.main_thread()
        _forget_some(_state.run)
        known = _Mine(_state.run, record, title, clock, main=is_main)
        local.trail = known
        if thread is not None:
            _state.trails[thread] = known
    return known


def _forget_some(run: Run) -> None:
    if len(run.trails) >= MOST_TRAILS and len(run.trails) % MOST_TRAILS == 0:
        run.trails[:] = [
            trail
            for trail in run.trails
            if trail.found or trail.waits or not (isinstance(trail, _Mine) and trail.me.ended)
        ]


def _renew(trail: Trail, run: Run) -> None:
    trail.run = run
    run.trails.append(trail)


def _site(frame: FrameType) -> tuple[CodeType, int]:
    while frame.f_code.co_filename in _FOLDED and frame.f_back is not None:
        frame = frame.f_back
    return frame.f_code, frame.f_lasti


def _is_part(lock: object, trail: _Mine) -> bool:
    """Say whether a lock is the inside of the composed operation under way."""
    record = trail.me
    return lock is record.inner and record.outer is not None


# --- locks


def _key(lock: Traced) -> Ref:
    try:
        return lock.ref
    except AttributeError:
        lock.ref = ref = Ref(Kin("", KINDS[lock.KIND], ""))
        return ref


def _enrol(original: Method) -> Method:
    def enrol(self: Traced, frame: FrameType | None, label: str = "") -> None:
        original(self, frame, label)
        self.ref = Ref(_kin(self.KIND, frame, label))

    return enrol


def _kin(kind: int, frame: FrameType | None, label: str) -> Kin:
    """Return what locks made by this instruction share; the frames of `threading` are passed over."""
    while frame is not None and is_framework(frame.f_code.co_filename):
        frame = frame.f_back
    if frame is None:
        return Kin(label, KINDS[kind], "")
    key = (id(frame.f_code), frame.f_lasti, kind)
    known = _state.kin.get(key)
    if known is None:
        _state.alive[key] = frame.f_code  # so that no other code gets an id that stands in a key
        known = _state.kin[key] = Kin(label or _named(frame), KINDS[kind], describe(frame))
    return known


def _named(frame: FrameType) -> str:
    """Return what the program calls what it makes here: "Account.lock", `lock`, or ""."""
    code = frame.f_code
    owner, attribute = store_after(code, frame.f_lasti)
    if not owner:
        return attribute
    parts = code.co_qualname.split(".")
    is_method = owner == code.co_varnames[0] and len(parts) > 1 and parts[-2] != "<locals>"
    return f"{parts[-2] if is_method else owner}.{attribute}"


def _entering(original: Method, *, reentrant: bool) -> Method:
    # What most programs do most often: `_wants` and `_takes`, spelled out.
    def __enter__(self: Traced) -> object:  # noqa: N807 - its name in a stack
        try:
            trail: _Mine = local.trail
        except AttributeError:
            trail = _trail()
        record = trail.me
        if self is record.inner and record.outer is not None:
            return original(self)
        frame = _getframe(1)
        if trail.held:
            again = reentrant and self.owner is record
            _wants(trail, self, Mode.AGAIN if again else Mode.WAITS, frame)
        value = original(self)
        code = frame.f_code
        site = _site(frame) if code.co_filename in _FOLDED else (code, frame.f_lasti)
        try:
            ref = self.ref
        except AttributeError:
            ref = _key(self)
        if ref not in trail.run.handed:
            trail.seen.add(ref)
            trail.held.append((ref, site, False, order_of(self)))
        return value

    return __enter__


def _acquiring(original: Method) -> Method:
    def acquire(self: Traced, blocking: bool = True, timeout: float = -1) -> object:  # noqa: FBT001, FBT002 - as the real one
        trail = _trail()
        if _is_part(self, trail):
            return original(self, blocking, timeout)
        frame = _getframe(1)
        mode = Mode.TRIES if not blocking else Mode.WAITS if timeout == -1 else Mode.GIVES_UP
        if self.owner is trail.me and isinstance(self, RLock):
            mode = Mode.AGAIN
        _wants(trail, self, mode, frame)
        taken = original(self, blocking, timeout)
        if taken:
            _takes(trail, self, frame)
        return taken

    return acquire


def _wants(trail: _Mine, lock: Traced, mode: Mode, frame: FrameType) -> None:
    if trail.held:
        trail.wants(_key(lock), mode, _site(frame), order=order_of(lock))


def _takes(trail: _Mine, lock: Traced, frame: FrameType) -> None:
    key = _key(lock)
    if key not in trail.run.handed:
        trail.takes(key, _site(frame), order=order_of(lock))


def _releasing(original: Method) -> Method:
    def release(self: Traced, *exception: object) -> object:
        try:
            trail: _Mine = local.trail
        except AttributeError:
            trail = _trail()
        held = trail.held
        if held and held[-1][0] is getattr(self, "ref", None):
            held.pop()
        elif not _is_part(self, trail):
            _gives(trail, self)
        return original(self, *exception)

    return release


def _gives(trail: _Mine, lock: Traced) -> None:
    """Note that a lock is given back; if it was another thread that took it, it is a signal."""
    key = _key(lock)
    if trail.gives(key):
        return
    owner = lock.owner
    if owner is not None and owner is not trail.me and not isinstance(lock, RLock):
        trail.run.handed.add(key)
        for other in list(trail.run.trails):
            if isinstance(other, _Mine) and other.me is owner:
                other.held = [hold for hold in other.held if hold[0] != key]


def _saving(original: Method) -> Method:
    def _release_save(self: Traced) -> object:
        trail = _trail()
        if not _is_part(self, trail):
            while trail.gives(_key(self)):
                pass
        return original(self)

    return _release_save


def _restoring(original: Method) -> Method:
    def _acquire_restore(self: Traced, saved: tuple[int, int]) -> object:
        trail = _trail()
        if _is_part(self, trail):
            return original(self, saved)
        frame = _getframe(1)
        _wants(trail, self, Mode.WAITS, frame)
        value = original(self, saved)
        for _ in range(saved[0]):
            _takes(trail, self, frame)
        return value

    return _acquire_restore


# --- conditions, threads, declared locks


def _waiting(original: Method) -> Method:
    def wait(self: threading.Condition, timeout: float | None = None) -> object:
        trail = _trail()
        lock = vars(self).get("_lock")
        if timeout is None and isinstance(lock, Traced) and not _is_part(lock, trail):
            trail.waits_for(("condition", _key(lock)), _key(lock), _site(_getframe(1)))
        return original(self, timeout)

    return composed.dressed(wait, original)


def _notifying(original: Method) -> Method:
    def notify(self: threading.Condition, *args: object, **keywords: object) -> object:
        trail = _trail()
        lock = vars(self).get("_lock")
        outer = (
            trail.me.outer
        )  # the recorder's own note of this very notification, or a queue's around it
        is_own = outer is not None and outer[0] is vars(self).get(composed.KEY)
        if isinstance(lock, Traced) and (is_own or not _is_part(lock, trail)):
            trail.notifies(("condition", _key(lock)), _key(lock))
        return original(self, *args, **keywords)

    return composed.dressed(notify, original)


def _starting(original: Method) -> Method:
    def start(self: threading.Thread) -> object:
        if vars(self).get("_initialized"):
            _state.clocks[self] = _trail().starts()
        return original(self)

    return composed.dressed(start, original)


def _joining(original: Method) -> Method:
    def join(self: threading.Thread, timeout: float | None = None) -> object:
        value = original(self, timeout)
        if not self.is_alive():
            other = _state.trails.get(self)
            _trail().joined(_state.clocks.get(self, {}) if other is None else other.clock)
        return value

    return composed.dressed(join, original)


def _declare(lock: object, name: str, shared: bool) -> None:  # noqa: FBT001 - a hook
    trail = _trail()
    site = _site(_getframe(2))
    try:
        key = _state.declared.get(lock)
        if key is None:
            key = _state.declared[lock] = Ref(Kin(name, DECLARED, ""))
    except TypeError:
        return  # nothing can be remembered of it
    trail.wants(key, Mode.WAITS, site, shared=shared, order=order_of(lock))
    trail.takes(key, site, shared=shared, order=order_of(lock))


def _undeclare(lock: object) -> None:
    key = _state.declared.get(lock)
    if key is not None:
        _trail().gives(key)


def _wraps() -> list[tuple[type, str, Callable[[Method], Method]]]:
    """Return what is wrapped: the traced locks, and on them `threading`'s conditions and threads."""
    return [
        (Traced, "enrol", _enrol),
        (Lock, "__enter__", partial(_entering, reentrant=False)),
        (RLock, "__enter__", partial(_entering, reentrant=True)),
        *(
            (kind, name, _acquiring)
            for kind, name in ((Lock, "acquire"), (Lock, "acquire_lock"), (RLock, "acquire"))
        ),
        *(
            (kind, name, _releasing)
            for kind in (Lock, RLock)
            for name in ("release", "__exit__", "release_lock")
            if name in vars(kind)
        ),
        (RLock, "_release_save", _saving),
        (RLock, "_acquire_restore", _restoring),
        (threading.Condition, "wait", _waiting),
        (threading.Condition, "notify", _notifying),
        (threading.Condition, "notify_all", _notifying),
        (threading.Thread, "start", _starting),
        (threading.Thread, "join", _joining),
    ]


# --- what the judge asks


class _Names:
    """Keys are `Ref`s; sites are a code object and an instruction."""

    @staticmethod
    def lock(key: object) -> LockClass:
        assert isinstance(key, Ref)
        return class_of(*key.kin)

    @staticmethod
    def condition(key: object) -> str:
        assert isinstance(key, tuple)
        lock = _Names.lock(key[1])
        return f"the condition {lock.name}" if lock.name else f"a condition made at {lock.place}"

    @staticmethod
    def site(site: object) -> str:
        assert isinstance(site, tuple)
        code, instruction = site
        return f"{short(code.co_filename)}:{_line(code, instruction)} {code.co_qualname}"


def _line(code: CodeType, instruction: int) -> int:
    for start, stop, line in code.co_lines():
        if start <= instruction < stop and line is not None:
            return line
    return code.co_firstlineno


_NAMES: Final = _Names()
