"""faulthandler, shared and named.

Promises:
- `parse` turns faulthandler's text into thread records, `named` puts threads' names beside its idents.
- `Alarm` shares `dump_traceback_later`, of which a process has one: every client keeps its own
  deadline, the nearest is armed, and what a client arms nobody else disarms. `Alarm.adopt` lets code
  that calls faulthandler itself (pytest does) be a client without knowing.
- `register` makes one signal dump all threads into a file, also while the interpreter lock is held.
Assumes: a live program is dumped once at most, just before it is killed. A dump walks other threads'
frames without the interpreter lock: repeated while threads come and go it crashes the process
(CPython issues 116008, 128400 and 131580), so nothing here repeats.
Does not: re-arm while the interpreter lock is held for ever, for that takes Python code.
"""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Protocol

from verify import _real
from verify.backtraces.records import StackFrame, ThreadDump

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from _typeshed import FileDescriptorLike

__all__ = ["Alarm", "alarm", "named", "parse", "register", "signal_number"]

_HEADER = re.compile(
    r"(Current thread|Thread) 0x([0-9a-f]{1,16})(?: \[(.{0,100})\])? \(most recent call first\):"
)
_FRAME = re.compile(r'  File "([^\n]{0,1000})", line (\d{1,9}|\?\?\?) in (.{1,1000})')
_IDENT = re.compile(
    r"((?:Current thread|Thread) 0x([0-9a-f]{1,16}))(?= \(most recent call first\):)"
)


def parse(text: str, names: Mapping[int, str] | None = None) -> tuple[ThreadDump, ...]:
    """Return the threads in faulthandler's text; `names` maps idents to names. Other lines are passed over.

    A thread that appears twice (two dumps in one file) is taken as it was first.
    """
    known = names or {}
    found: dict[int, ThreadDump] = {}
    ident: int | None = None
    frames: list[StackFrame] = []
    for line in [*text.splitlines(), ""]:
        header = _HEADER.fullmatch(line)
        frame = _FRAME.fullmatch(line)
        if frame is not None and ident is not None:
            file, number, function = frame.groups()
            frames.append(StackFrame(file, int(number) if number.isdecimal() else 0, function))
            continue
        if ident is not None and ident not in found:
            stack = tuple(reversed(frames))
            found[ident] = ThreadDump(None, ident, known.get(ident, ""), stack)
        ident, frames = (int(header.group(2), 16), []) if header is not None else (None, [])
    return tuple(found.values())


def named(text: str, names: Mapping[int, str]) -> str:
    """Return faulthandler's text with each thread's name behind its ident, as far as `names` knows it."""

    def with_name(found: re.Match[str]) -> str:
        name = names.get(int(found.group(2), 16))
        return found.group(1) if name is None else f"{found.group(1)} {name!r}"

    return _IDENT.sub(with_name, text)


def signal_number() -> int:
    """Return the signal that asks for a dump: a real-time one, which libraries leave alone."""
    return signal.SIGRTMIN + 9


_FILES: list[IO[bytes]] = []
"""Files that faulthandler writes to by their descriptor: they stay open as long as the process lives."""


def register(directory: Path) -> Path:
    """Have `signal_number()` dump all threads of this process into `directory/faults-PID.txt`; a forked child too.

    Returns the file. Raises OSError where it cannot be made.
    """

    def again() -> None:
        with suppress(OSError):
            _register(directory)

    path = _register(directory)
    os.register_at_fork(after_in_child=again)
    return path


def _register(directory: Path) -> Path:
    path = directory / f"faults-{os.getpid()}.txt"
    file = path.open("wb", buffering=0)
    _FILES.append(file)
    faulthandler.register(signal_number(), file=file.fileno(), all_threads=True, chain=False)
    return path


@dataclass(frozen=True, slots=True)
class _Deadline:
    due: float  # of time.monotonic
    period: float
    repeat: bool
    file: FileDescriptorLike
    exit: bool


class _Later(Protocol):
    """What stands behind the name `faulthandler.dump_traceback_later`."""

    def __call__(
        self,
        timeout: float,
        repeat: bool = ...,  # noqa: FBT001 - faulthandler's signature
        file: FileDescriptorLike = ...,
        exit: bool = ...,  # noqa: A002, FBT001 - faulthandler's signature
    ) -> None: ...


class Alarm:
    """The one deadline of `faulthandler.dump_traceback_later`, shared by clients with a name each."""

    def __init__(self) -> None:
        # Taken by clients in any thread; nothing that can block happens under it.
        self._lock = _real.RLock()
        self._deadlines: dict[str, _Deadline] = {}
        self._armed = ""
        # Counts armings: a thread that waits for a deadline ends when another one is armed.
        self._turn = 0
        self._really_arm = faulthandler.dump_traceback_later
        self._really_cancel = faulthandler.cancel_dump_traceback_later

    @property
    def armed(self) -> str:
        """The client whose deadline faulthandler has now, or an empty string."""
        return self._armed

    def set(
        self,
        client: str,
        timeout_s: float,
        *,
        file: FileDescriptorLike | None = None,
        repeat: bool = False,
        exit: bool = False,  # noqa: A002 - as faulthandler names it
    ) -> None:
        """Let `client` have a dump in `timeout_s` seconds unless it cancels; its earlier deadline is dropped.

        The parameters are those of `faulthandler.dump_traceback_later`; `repeat` gives one dump, and
        the next one when some client sets or cancels after it.
        """
        if not 0 < timeout_s < float("inf"):
            raise ValueError(f"{client}: timeout {timeout_s} s; give a number of seconds above 0")
        target: FileDescriptorLike = sys.stderr if file is None else file
        with self._lock:
            due = _real.monotonic() + timeout_s
            self._deadlines[client] = _Deadline(due, timeout_s, repeat, target, exit)
            self._arm_nearest()

    def cancel(self, client: str) -> None:
        """Drop the deadline of `client`, if it has one; the others stay."""
        with self._lock:
            self._deadlines.pop(client, None)
            self._arm_nearest()

    def _arm_nearest(self) -> None:
        """Under the lock: forget what has fired, arm the nearest of the rest."""
        self._turn += 1
        now = _real.monotonic()
        for client, deadline in list(self._deadlines.items()):
            if deadline.due <= now:
                del self._deadlines[client]
                if deadline.repeat:
                    again = _Deadline(
                        now + deadline.period, deadline.period, True, deadline.file, deadline.exit
                    )
                    self._deadlines[client] = again
        nearest = min(self._deadlines.items(), key=lambda item: item[1].due, default=None)
        if nearest is None:
            self._armed = ""
            self._really_cancel()
            return
        client, deadline = nearest
        self._armed = client
        if len(self._deadlines) > 1:
            _real.start_new_thread(self._re_arm, (deadline.due, self._turn))
        self._really_arm(max(deadline.due - now, 0.001), file=deadline.file, exit=deadline.exit)

    def _re_arm(self, due: float, turn: int) -> None:
        """From a thread of its own: once the nearest deadline has fired, arm the one behind it."""
        while (left := due - _real.monotonic()) >= 0 and self._turn == turn:
            _real.sleep(min(left + 0.01, 0.5))
        with self._lock:
            if self._turn == turn:
                self._arm_nearest()

    @contextmanager
    def adopt(self, client: str = "the program") -> Iterator[None]:
        """While inside, calls of faulthandler's own functions set and cancel the deadline of `client`."""

        def later(
            timeout: float,
            repeat: bool = False,  # noqa: FBT001, FBT002 - faulthandler's signature
            file: FileDescriptorLike | None = None,
            exit: bool = False,  # noqa: A002, FBT001, FBT002 - faulthandler's signature
        ) -> None:
            self.set(client, timeout, file=file, repeat=repeat, exit=exit)

        def cancel() -> None:
            self.cancel(client)

        before = (faulthandler.dump_traceback_later, faulthandler.cancel_dump_traceback_later)
        _replace(later, cancel)
        try:
            yield
        finally:
            _replace(*before)
            with suppress(ValueError):
                self.cancel(client)


def _replace(later: _Later, cancel: Callable[[], None]) -> None:
    faulthandler.dump_traceback_later = later
    faulthandler.cancel_dump_traceback_later = cancel


alarm = Alarm()
"""The process's own."""
