"""The writer of the flight recorder: inside the process observed, without a lock where operations pass.

Promises: an operation costs a few stores into shared memory and waits for nobody. Every store is one C call, so a
signal handler, a finalizer or a garbage collection between any two of them leaves records that a reader accepts. After
a fork the child writes a file of its own, which begins with what the parent had written.
Assumes an interpreter lock for the numbering (`itertools.count`) and the free lists (`deque`). On a build without it,
two threads can draw the same number: then one entry of the ring is lost, nothing else.
Does not read (that is `flight`), and does not replace anything (that is `install`).

Tables (strings, frames, stacks) only grow, up to their bound; what does not fit is written as 0, and the header says
so. They belong to the process, not to one recording: a lock made in an earlier recording keeps its number in the next.
"""

from __future__ import annotations

import _thread
import itertools
import json
import mmap
import os
import sys
import threading
from collections import deque
from contextlib import suppress
from pathlib import Path
from time import monotonic_ns
from typing import TYPE_CHECKING

from verify import _real
from verify.observe import layout
from verify.observe.layout import (
    COUNTS,
    COUNTS_AT,
    ENTRY,
    HOLDS_AT,
    IDENTITY,
    KIND,
    MOST_ENTRIES,
    MOST_HOLDS,
    NONE,
    RING_AT,
    ROLES,
    SLOT_SIZE,
    THREADS_AT,
    WAIT,
    WAIT_AT,
)  # fmt: skip
from verify.observe.pages import Tables
from verify.processes import stat_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from verify.observe.composed import Seen

    Waiting = tuple[int, int, int, int, int]

SCRATCH_HOLD = THREADS_AT + HOLDS_AT
"""Where holds go that find no room: place 0 belongs to no thread and is never read."""
MOST_FLIGHTS = 64
"""Files in a directory above which those of processes that are gone are taken away."""
ENTRY_SIZE = ENTRY.size
WORD = 0xFFFFFFFF
"""What an entry keeps of counts and numbers: they go on for as long as the program does, its fields do not grow."""
_PACK_ENTRY = ENTRY.pack_into
_PACK_WAIT = WAIT.pack_into


class Me:
    """One thread as the recorder knows it: where its slot lies, and what is under way in it.

    `free` are the byte offsets of the unused hold records, `holds` the list that they come back to: the same one, until
    the thread ends. `places` holds the slot's place until it is given away. `inner` is the lock whose operations
    belong to the composed operation under way (the mutex inside a queue): they are no entries of their own. `seq` is
    the number drawn for that operation at the last release of the inner lock, so that its entry has its true place in
    the order.
    `path` is the path of creation ("main/1"), where it is known.
    """

    __slots__ = (
        "base", "buffer", "children", "ended", "free", "holds", "ident", "inner", "native", "next", "noise", "ops",
        "outer", "part", "path", "place", "places", "seq", "slot", "stamp", "started", "thread", "waiting", "words",
    )  # fmt: skip

    def __init__(self, recorder: Recorder, place: int, slot: int) -> None:
        self.slot = slot
        self.place = place
        self.base = THREADS_AT + place * SLOT_SIZE
        first = self.base + HOLDS_AT
        self.places = [place] if place else []
        self.holds = [first + at * layout.HOLD.size for at in reversed(range(MOST_HOLDS))]
        self.free = self.holds
        self.ops = self.stamp = self.seq = self.ended = 0
        self.ident = self.native = 0
        self.started = monotonic_ns()
        self.inner: object = None
        self.outer: tuple[Seen, int] | None = None
        self.part: tuple[int, str] | None = None
        self.path = ""
        self.children = 0
        self.waiting: Waiting | None = None
        self.noise: Callable[[], None] | None = None
        self.thread: threading.Thread | None = None
        self.bind(recorder)

    def bind(self, recorder: Recorder) -> None:
        """Write into what `recorder` has open now."""
        self.buffer = recorder.buffer
        self.words = recorder.words
        self.next = recorder.numbers.__next__

    def log(self, operation: int, thing: int, stack: int, result: int = 0, seq: int = 0) -> None:
        """Add an entry to the ring; `seq` is a number drawn earlier (0: draw one)."""
        self.ops = ops = self.ops + 1
        seq = seq or self.next()
        now = monotonic_ns()
        _PACK_ENTRY(
            self.buffer, RING_AT + seq % MOST_ENTRIES * ENTRY_SIZE, seq, now, self.slot, operation, result, 0,
            thing & WORD, stack, ops & WORD,
        )  # fmt: skip
        if not ops & 63:
            self.count()

    def count(self) -> None:
        """Write how many operations the thread has made: not at each one, the ring says the rest."""
        COUNTS.pack_into(self.buffer, self.base + COUNTS_AT, self.ops, monotonic_ns())

    def block(
        self, thing: int, operation: int, timeout: float | None, stack: int
    ) -> Waiting | None:
        """Say that the thread is about to block; return what `unblock` puts back (a wait that a signal interrupted)."""
        before = self.waiting
        now = monotonic_ns()
        limit = NONE if timeout is None or timeout < 0 else min(int(timeout * 1e9), NONE - 1)
        self.waiting = (thing, now, limit, stack, operation)
        COUNTS.pack_into(self.buffer, self.base + COUNTS_AT, self.ops, now)
        self.write_wait()
        return before

    def unblock(self, before: Waiting | None) -> None:
        """Say that the thread goes on."""
        self.waiting = before
        self.write_wait()

    def write_wait(self) -> None:
        """Write what the thread waits for."""
        self.stamp = stamp = self.stamp + 1
        waiting = self.waiting or (0, 0, 0, 0, 0)
        _PACK_WAIT(self.buffer, self.base + WAIT_AT, stamp, *waiting, stamp)

    def write_identity(self, recorder: Recorder) -> None:
        """Write who the thread is: at its start, when it is renamed, at its end."""
        thread = self.thread
        name = str(vars(thread).get("_name")) if thread is not None else f"thread {self.native}"
        raw = name.encode("utf-8", "replace")[:64]
        daemon = thread is None or bool(vars(thread).get("_daemonic"))
        if self.part is None:
            self.part = _part(thread)  # now: `threading` forgets the target when it has run
        role, target = self.part
        self.stamp = stamp = self.stamp + 1
        IDENTITY.pack_into(
            self.buffer, self.base, stamp, self.slot, self.ident, self.native, self.started, self.ended,
            layout.DAEMON if daemon else 0, role, recorder.string(target), len(raw), raw, stamp,
        )  # fmt: skip


def _part(thread: threading.Thread | None) -> tuple[int, str]:
    """Return a thread's role and what it runs."""
    if thread is None:
        return ROLES.index("foreign"), ""
    if thread is _real.main_thread():
        return ROLES.index("main"), ""
    attributes = vars(thread)
    target: object = attributes.get("_target") or attributes.get("function")
    name = str(getattr(target, "__qualname__", "") or type(thread).__qualname__)
    module = str(getattr(target, "__module__", "") or type(thread).__module__)
    role = "thread"
    if isinstance(thread, threading.Timer):
        role = "timer"
    elif module == "concurrent.futures.thread":
        role = "pool worker"
    return ROLES.index(role), f"{module}.{name}"


class Recorder(Tables):
    """The tables of the process and the file that is written now (none: `path` is None, stores go nowhere)."""

    def __init__(self) -> None:
        super().__init__()
        self.path: Path | None = None
        self.started = monotonic_ns()
        self.numbers = itertools.count(1)
        self.slots = itertools.count(1)
        self.fresh_places = itertools.count(1)
        self.ended: deque[int] = deque()
        self.threads: dict[int, Me] = {}
        self.ids = itertools.count(1)
        self.fresh_objects = itertools.count(1)
        self.dead_objects: deque[int] = deque()
        self.notes: dict[str, str] = {}
        self.noise: Callable[[Me], Callable[[], None] | None] | None = None

    # The file

    def open(self, directory: Path) -> None:
        """Go on in a new file in `directory`; raise OSError if that cannot be.

        The space is allocated, not just promised: a full disk must show here, not as a bus error in the program.
        """
        pid = os.getpid()
        path = directory / f"flight-{pid}-{_start_ticks()}{layout.SUFFIX}"
        _prune(directory)
        draft = directory / f".{path.name}.new"
        handle = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, layout.SIZE)
            buffer = mmap.mmap(handle, layout.SIZE)
        except BaseException:
            draft.unlink()
            raise
        finally:
            os.close(handle)
        buffer[:] = self.buffer[:]
        self.path = path
        self._turn_to(buffer)
        self._write_header(pid)
        draft.replace(path)

    def begin(self) -> None:
        """Forget the operations so far, and count anew."""
        self.numbers = itertools.count(1)
        self.started = monotonic_ns()
        self.write_word(layout.FLAGS_AT, 0)
        self.buffer[RING_AT : RING_AT + MOST_ENTRIES * ENTRY_SIZE] = bytes(
            MOST_ENTRIES * ENTRY_SIZE
        )

    def close(self) -> None:
        """Say that the recording has ended; whatever is stored after this goes nowhere."""
        if self.path is None:
            return
        self.write_word(layout.STATE_AT, layout.STOPPED)
        self.path = None
        self._turn_to(_copy(self.buffer))

    def _turn_to(self, buffer: mmap.mmap) -> None:
        # A thread that stores meanwhile may still do so into the old memory: it stays mapped while it is used.
        self.buffer = buffer
        self.words = memoryview(buffer).cast("Q")
        for me in list(self.threads.values()):
            me.bind(self)

    def _write_header(self, pid: int) -> None:
        flags = int.from_bytes(self.buffer[layout.FLAGS_AT : layout.FLAGS_AT + 4], "little")
        if not getattr(sys, "_is_gil_enabled", lambda: True)():
            flags |= layout.GIL_FREE
        bank = int.from_bytes(self.buffer[layout.BANK_AT : layout.BANK_AT + 4], "little") & 1
        argv = list(sys.orig_argv)
        text = json.dumps([each[:1000] for each in argv]).encode()
        while len(text) > layout.MOST_ARGV:
            argv = argv[:-1]
            text = json.dumps([each[:1000] for each in argv]).encode()
        python = ".".join(str(part) for part in sys.version_info[:3]).encode()
        layout.HEADER.pack_into(
            self.buffer, 0, layout.MAGIC, layout.VERSION, layout.RECORDING, pid, os.getppid(), self.started, flags,
            bank, python, len(text),
        )  # fmt: skip
        self.buffer[layout.ARGV_AT : layout.ARGV_AT + len(text)] = text

    def after_fork(self, directory: Path) -> None:
        """In a forked child: open a file of its own; the threads that were not copied count as ended.

        Their holds stay: a lock that one of them held is held for ever in the child.
        """
        self.growing = _real.RLock()
        mine = _real.get_ident()
        self._turn_to(_copy(self.buffer))  # from here on nothing goes into the parent's file
        self.begin()
        self.open(directory)
        for me in list(self.threads.values()):
            if me.ident == mine:
                me.native = _real.get_native_id()
                me.part = None
                me.write_identity(self)
            else:
                self.leave(me)

    # Threads

    def enter(self, thread: threading.Thread | None = None, path: str = "") -> Me:
        """Give the calling thread a slot."""
        number = next(self.fresh_places)
        if number >= layout.MOST_THREADS:
            try:
                number = self.ended.popleft()
            except IndexError:
                self.short_of(layout.THREADS_FULL)
                number = 0
        me = Me(self, number, next(self.slots))
        if number:
            self.words[me.base >> 3 : (me.base + SLOT_SIZE) >> 3] = _EMPTY_SLOT
            self.threads[number] = me
        me.ident = _real.get_ident()
        me.native = _real.get_native_id()
        # Asking `threading` for the current thread would make one up where there is none.
        known: dict[int, threading.Thread] = vars(threading)["_active"]
        me.thread = thread or known.get(me.ident)
        me.path = path or ("main" if me.thread is _real.main_thread() else f"other/{me.slot}")
        me.write_identity(self)
        if self.noise is not None:
            me.noise = self.noise(me)
        return me

    def renew(self, me: Me) -> None:
        """A thread that was there in an earlier recording goes on in this one."""
        if me.place and not me.ended:
            me.write_identity(self)
        me.children = 0
        if self.noise is not None:
            me.noise = self.noise(me)

    def leave(self, me: Me) -> None:
        """The thread ends: its slot may be used again, but never while it holds something.

        What finalizers still do in the thread goes to the place that is never read.
        """
        if me.ended:
            return
        me.ended = monotonic_ns()
        me.unblock(None)
        me.count()
        me.write_identity(self)
        me.thread = None
        me.base = THREADS_AT
        me.free = [SCRATCH_HOLD]
        self.vacate(me)

    def vacate(self, me: Me) -> None:
        """Let the slot of a thread that has ended be used again once nothing is held in it.

        1. The thread ends while it holds something. 2. Two others give back its last two holds, and both see that
        nothing is held any more. The first of them to take the place away gives it on.
        """
        if len(me.holds) == MOST_HOLDS:
            with suppress(IndexError):
                place = me.places.pop()
                del self.threads[place]
                self.ended.append(place)

    # Objects

    def register(
        self,
        kind: int,
        frame: FrameType | None,
        *,
        label: str = "",
        value: int = NONE,
        limit: int = NONE,
        lock: int = NONE,
    ) -> tuple[int, int]:
        """Enter an object; return its number and its place, for `forget`.

        `frame` makes it, and `label` is what it is called (empty: what the instruction behind the call says).
        """
        number = next(self.ids)
        place = next(self.fresh_objects)
        if place >= layout.MOST_OBJECTS:
            try:
                place = self.dead_objects.popleft()
            except IndexError:
                place = layout.MOST_OBJECTS + number % layout.OVERFLOW
                self.short_of(layout.OBJECTS_FULL)
        stack, title = self.titled(kind, frame, label)
        layout.OBJECT.pack_into(
            self.buffer,
            object_at(place),
            number,
            value,
            limit,
            lock,
            0,
            0,
            0,
            0,
            title,
            stack,
            kind,
        )
        return number, place

    def forget(self, place: int) -> None:
        """An object has died: its place may be used again, unless it was one of those that several share."""
        if place < layout.MOST_OBJECTS:
            self.dead_objects.append(place)

    # Notes

    def note(self, key: str, value: str) -> None:
        """Put `value` under `key` on the page of notes: the page is written beside the old one, then counts."""
        if not self.growing.acquire(timeout=1):
            self.short_of(layout.NOTES_FULL)
            return
        try:
            self.notes[key] = value
            text = json.dumps(self.notes).encode()
            if len(text) > layout.NOTES_SIZE - 4:
                del self.notes[key]
                self.short_of(layout.NOTES_FULL)
                return
            bank = 1 - (self.buffer[layout.BANK_AT] & 1)
            at = layout.NOTES_AT + bank * layout.NOTES_SIZE
            self.buffer[at : at + 4 + len(text)] = len(text).to_bytes(4, "little") + text
            self.write_word(layout.BANK_AT, bank)
        finally:
            self.growing.release()


def _copy(buffer: mmap.mmap) -> mmap.mmap:
    out = mmap.mmap(-1, layout.SIZE)
    out[:] = buffer[:]
    return out


_EMPTY_SLOT = memoryview(bytes(SLOT_SIZE)).cast("Q")


def object_at(place: int) -> int:
    """Return the offset of the object at `place`."""
    return layout.OBJECTS_AT + place * layout.OBJECT.size


def _prune(directory: Path) -> None:
    """Make room: of more than `MOST_FLIGHTS` files, take away those of processes that are gone, oldest first."""
    files: list[tuple[float, str]] = []
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.name.endswith(layout.SUFFIX):
                with suppress(
                    OSError
                ):  # 1. We list it. 2. Its process ends, and takes it away. 3. We look.
                    files.append((entry.stat().st_mtime, entry.name))
    if len(files) <= MOST_FLIGHTS:
        return
    for _, name in sorted(files)[:-MOST_FLIGHTS]:
        pid = name.split("-")[1:2]
        if pid and pid[0].isdecimal() and not Path(f"/proc/{pid[0]}").exists():
            (directory / name).unlink(missing_ok=True)


def _start_ticks() -> str:
    """Return when this process started, as /proc has it: with the pid it names the process for good."""
    stat = stat_of(Path("/proc/self"))
    return str(monotonic_ns() if stat is None else stat.ticks)


recorder = Recorder()
local = _thread._local()  # noqa: SLF001 - threading.local is this class, and may be replaced


def me() -> Me:
    """Return the calling thread's record, made at the first call."""
    try:
        found: Me = local.me
    except AttributeError:
        return enter()
    return found


def enter(thread: threading.Thread | None = None, path: str = "") -> Me:
    """Make the calling thread's record; it ends with the thread."""
    made = recorder.enter(thread, path)
    # A finalizer that ran meanwhile may have made one: the first one counts, the other has ended.
    first: Me | None = getattr(local, "me", None)
    if first is not None:
        recorder.leave(made)
        return first
    local.me = made
    local.end = _End(made)
    return made


class _End:
    """Lies among the thread's own values: dies with the thread, also with one that C code started."""

    __slots__ = ("leave", "me")

    def __init__(self, me: Me) -> None:
        self.me = me
        self.leave = recorder.leave  # the module's names may be gone when the main thread ends

    def __del__(self) -> None:
        try:  # noqa: SIM105 - by the end of the interpreter only builtins are left
            self.leave(self.me)
        except Exception:  # noqa: BLE001, S110 - nobody can be told
            pass  # an interpreter that is half gone


assert len(KIND) == len(layout.KINDS)
