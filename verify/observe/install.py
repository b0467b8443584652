"""Puts the recording primitives in place of the standard library's, and takes them out again.

Promises: between `start` and `stop` every thread's operations are recorded into a flight in the directory given. As in
a check, methods are patched where they are defined, names that are C-level objects are swept from every module that
has them, and locks that exist already get a recording stand-in around the same real lock, held or not, wherever a
module, a class or an object's attribute refers to them. After `stop` the real things stand there again, also in place
of what was made meanwhile. A forked child goes on in a flight of its own.
Does not: reach locks in closures, tuples or slots, and a SimpleQueue made before. A lock that a thread held at the
start has no holder until it is taken again.
"""

from __future__ import annotations

import _thread
import os
import sys
import threading
from contextlib import contextmanager, suppress
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, cast

from verify.namespaces import namespaces
from verify.observe import blocking, tables, threads
from verify.observe.composed import KEY, Patch
from verify.observe.locks import LOCK_TYPE, RLOCK_TYPE, Lock, RLock, Traced
from verify.observe.recorder import enter, local, recorder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from verify.observe.noise import Noise
    from verify.observe.recorder import Recorder
    from verify.primitives.locks import LockLike, RLockLike

NOT_SWEPT = frozenset(
    {
        "verify",
        "traces",
        "greenlet",
        "_thread",
        "threading",
        "importlib",
        "_frozen_importlib",
        "_pytest",
        "pluggy",
    }
)
ABSENT = object()
FUTURES = "concurrent.futures._base"


class _State:
    """What is in place now."""

    def __init__(self) -> None:
        self.undo: list[Patch] = []
        self.late: _Late | None = None
        self.interval_s: float | None = None
        self.directory: Path | None = None
        self.forks = False


_state = _State()


def start(directory: Path | str, *, noise: Noise | None = None) -> Recorder:
    """Begin to record this process into a flight in `directory`; raise OSError if that cannot be written."""
    if recorder.path is not None:
        raise RuntimeError(
            f"this process is recorded already, into {recorder.path}; call stop() first"
        )
    directory = Path(directory).absolute()
    recorder.noise = None if noise is None else noise.of
    recorder.begin()
    recorder.open(directory)
    _state.directory = directory
    if not _state.forks:
        _state.forks = True
        os.register_at_fork(after_in_child=_after_fork)
    if hasattr(local, "me"):
        recorder.renew(local.me)
    else:
        enter()
    _install()
    if noise is not None and noise.switch_interval_s is not None:
        _state.interval_s = sys.getswitchinterval()
        sys.setswitchinterval(noise.switch_interval_s)
    return recorder


def stop() -> None:
    """End the recording and put everything back; without a recording under way, do nothing."""
    if recorder.path is None:
        return
    for patch in reversed(_state.undo):
        _put(patch.owner, patch.name, patch.value)
    _state.undo.clear()
    if _state.late is not None:
        with suppress(ValueError):
            sys.meta_path.remove(_state.late)
    _release()
    if _state.interval_s is not None:
        sys.setswitchinterval(_state.interval_s)
        _state.interval_s = None
    recorder.noise = None
    for me in list(recorder.threads.values()):
        me.noise = None
    recorder.close()


@contextmanager
def observed(directory: Path | str, *, noise: Noise | None = None) -> Iterator[Recorder]:
    """Record for the length of a `with` block."""
    running = start(directory, noise=noise)
    try:
        yield running
    finally:
        stop()


def note(key: str, value: str) -> None:
    """Put a line on the page of notes that a hang report shows: a phase, a seed, a test's name."""
    recorder.note(str(key), str(value))


def rows() -> list[Patch]:
    """Return all patches of names and methods."""
    out = [
        *tables.rows(),
        *threads.rows(),
        *blocking.rows(),
        Patch(_thread, "allocate_lock", Lock),
        Patch(_thread, "allocate", Lock),
        Patch(_thread, "RLock", RLock),
        Patch(threading, "Lock", Lock),
        Patch(threading, "RLock", RLock),
    ]
    for patch in list(out):
        # `threading` keeps these under names of its own.
        own = f"_{patch.name}"
        if patch.owner is _thread and patch.name.startswith("start_") and own in vars(threading):
            out.append(Patch(threading, own, patch.value))
    futures = sys.modules.get(FUTURES)
    if futures is not None:
        out += tables.future_rows(futures.Future)
    return out


def _install() -> None:
    replaced: dict[int, tuple[object, object]] = {}
    for row in rows():
        original = vars(row.owner).get(row.name, ABSENT)
        if original is ABSENT and not isinstance(row.owner, type):
            continue
        _state.undo.append(Patch(row.owner, row.name, original))
        if not isinstance(row.owner, type):
            replaced[id(original)] = (original, row.value)
        setattr(row.owner, row.name, row.value)
    for module in _swept():
        names = vars(module)
        for name, value in list(names.items()):
            hit = replaced.get(id(value))
            if hit is not None and hit[0] is value:
                _state.undo.append(Patch(module, name, value))
                names[name] = hit[1]
    if FUTURES not in sys.modules:
        _state.late = _Late()
        sys.meta_path.insert(0, _state.late)
    _adopt()


def _put(owner: object, name: str, value: object) -> None:
    if value is ABSENT:
        with suppress(AttributeError):
            delattr(owner, name)  # inherited: it shows again
    else:
        setattr(owner, name, value)


def _swept() -> list[ModuleType]:
    return [
        module
        for name, module in list(sys.modules.items())
        if name.partition(".")[0] not in NOT_SWEPT and type(module) is type(sys)
    ]


class _Late:
    """Patches `concurrent.futures` when the program imports it: loading it at every start would cost too much."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find the module as usual, and have it patched once it is loaded."""
        if name != FUTURES:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            if recorder.path is not None:
                for row in tables.future_rows(module.Future):
                    _state.undo.append(Patch(row.owner, row.name, vars(row.owner)[row.name]))
                    setattr(row.owner, row.name, row.value)

        vars(spec.loader)["exec_module"] = exec_module
        return spec


# Locks that exist already


def _adopt() -> None:
    """Put a stand-in around every lock found."""
    known: dict[int, Traced] = {}
    kinds: list[type] = []
    conditions = []
    for names, owner in namespaces(kinds=kinds):
        if isinstance(owner, threading.Condition):
            conditions.append(names)
        for name, value in list(names.items()):
            if type(value) is LOCK_TYPE or type(value) is RLOCK_TYPE:
                names[name] = _stand_in(known, value, f"{_title(owner)}.{name}")
    for kind in kinds:
        for name, value in list(vars(kind).items()):
            if type(value) is LOCK_TYPE or type(value) is RLOCK_TYPE:
                setattr(kind, name, _stand_in(known, value, f"{kind.__name__}.{name}"))
    for names in conditions:
        _bind(names)


def _title(owner: object) -> str:
    return str(vars(owner)["__name__"]) if type(owner) is type(sys) else type(owner).__name__


def _stand_in(known: dict[int, Traced], real: object, label: str) -> Traced:
    stand = known.get(id(real))
    if stand is None:
        if type(real) is LOCK_TYPE:
            stand = Lock.of(cast("LockLike", real), label)
        else:
            stand = RLock.of(cast("RLockLike", real), label)
        known[id(real)] = stand
    return stand


BOUND = ("acquire", "release", "_release_save", "_acquire_restore", "_is_owned")


def _bind(names: dict[str, object]) -> None:
    """A condition keeps bound methods of its lock: let them be those of the lock it has now."""
    lock = names.get("_lock")
    for name in BOUND:
        method = getattr(lock, name, None)
        names.pop(name, None)
        if method is not None:
            names[name] = method


def _release() -> None:
    """Put the real lock wherever a stand-in is, and forget the numbers of objects."""
    kinds: list[type] = []
    for names, owner in namespaces(own=True, kinds=kinds):
        names.pop(KEY, None)
        for name, value in list(names.items()):
            if isinstance(value, Traced) and type(value) in {Lock, RLock}:
                names[name] = value.unwrap()
        if isinstance(owner, threading.Condition):
            _bind(names)
    for kind in kinds:
        for name, value in list(vars(kind).items()):
            if type(value) is Lock or type(value) is RLock:
                setattr(kind, name, value.unwrap())


# Children


def _after_fork() -> None:
    if recorder.path is None or _state.directory is None:
        return
    try:
        recorder.after_fork(_state.directory)
    except Exception as error:  # noqa: BLE001 - whatever it is, the program must go on
        recorder.close()
        sys.stderr.write(f"stage3: process {os.getpid()} is not recorded: {error}\n")
