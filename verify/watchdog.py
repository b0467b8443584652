"""The sidecar that sees a task blocked in a call which the check does not control.

Promises: a task that makes no operation for `PATIENCE_S` seconds and does not move in Python either
is named, with its stack and what to do; the execution is ended and the check is inconclusive. It
costs nothing a step: a thread of the toolkit looks a few times a second. Python code that is only
slow is left alone: its bytecode moves from sample to sample. A debugger's prompt is left alone too.

How a blocked task is ended:
- on OS threads the root stops waiting for it, and its thread is left behind;
- on greenlets a signal interrupts the call, if the check runs in the main thread;
- where neither helps, `on_hang` gets the text (the command line prints it and exits).

Does not see: a call that keeps the interpreter lock, for as long as it does.
"""

from __future__ import annotations

import dis
import linecache
import signal
import sys
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from verify import _real
from verify.runtime import current, os_threads
from verify.runtime.carriers import Killed
from verify.sites import describe, frames

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from verify.runtime.execution import Execution

PATIENCE_S = 1.0
BUSY_FACTOR = 5.0  # longer patience for a call that uses the processor, or a row of such calls: it may just be long
LOOK_S = 0.2  # between looks while operations are made
SAMPLE_S = 0.02  # between samples of a task that makes none
TRIES = 50  # samples after the verdict before the call counts as one that nothing interrupts
BUSY_SHARE = 0.2
SIGNAL = getattr(signal, "SIGURG", None)  # ignored by default, so a late one does no harm

_ALIVE = ("JUMP_BACKWARD", "RESUME", "INSTRUMENTED_JUMP_BACKWARD", "INSTRUMENTED_RESUME")
_DEBUGGERS = frozenset({"pdb", "bdb", "cmd", "code", "pydevd", "debugpy"})

REMEDIES = (
    (
        ("acquire", "with ", "Condition", "Event", ".join"),
        "a lock, event or thread made before the check, or in C, is real: make it inside the code under test",
    ),
    (
        ("recv", "accept", "connect", "send", "select", "socket"),
        "a socket made outside the code under test is real: make both ends inside it",
    ),
    (
        ("subprocess", "Popen", "communicate", "os.wait", "waitpid", "os.read"),
        "processes and files are not controlled: put a fake in their place for the check",
    ),
)
BUSY_REMEDY = "it computes in C: give it less to do in a check"
ANY_REMEDY = "put a fake in its place for the check, or make it inside the code under test"


class Blocked(BaseException):
    """The check ended because a task was blocked where nothing controlled could end it. No verdict on the program."""


class Seen(NamedTuple):
    """Where an execution stands; numbers only, so that a look keeps nothing of the program alive."""

    run: int
    left: int
    choices: int
    task: int


class Watchdog:
    """Watches the executions of one session from a thread of its own."""

    def __init__(self, on_hang: Callable[[str], None]) -> None:
        self.on_hang = on_hang
        self.run = 0  # the session counts its executions here
        self.stopped = _real.allocate_lock()
        self.ended = _real.allocate_lock()
        self.seen: Seen | None = None
        self.sample: tuple[tuple[int, int], ...] = ()
        self.still_s = 0.0
        self.cpu_s = 0.0
        self.looked = 0.0
        self.clock = 0.0
        self.verdict: Blocked | None = None
        self.tries = 0
        self.before: object = None
        self.signals = False

    def start(self) -> None:
        """Begin to look."""
        self.stopped.acquire()
        self.ended.acquire()
        main = threading.main_thread().ident == _real.get_ident()
        if SIGNAL is not None and main and signal.getsignal(SIGNAL) is signal.SIG_DFL:
            signal.signal(SIGNAL, self._interrupted)
            self.signals = True
        _real.start_new_thread(self._watch, ())

    def stop(self) -> None:
        """Stop looking; nothing is left behind."""
        self.stopped.release()
        self.ended.acquire()
        if self.signals and SIGNAL is not None:
            signal.signal(SIGNAL, signal.SIG_DFL)

    def _watch(self) -> None:
        wait = LOOK_S
        try:
            while not self.stopped.acquire(timeout=wait):
                wait = self._look()
        finally:
            self.ended.release()

    # --- looking

    def _look(self) -> float:
        execution = current.execution
        seen = self._stand(execution) if execution is not None else None
        if execution is None or seen is None or seen != self.seen:
            if self.seen is None or seen is None or seen.run != self.seen.run:
                self.verdict = None
            self.seen = seen
            self._moved()
            return LOOK_S
        frame = sys._current_frames().get(execution.os_ident)  # noqa: SLF001 - the documented way to it
        if frame is None:
            return SAMPLE_S
        if self._stands_still(frame, execution.os_ident):
            self._judge(execution, frame, seen)
        return SAMPLE_S

    def _stand(self, execution: Execution) -> Seen | None:
        task = execution.current
        if task is None:
            return None
        return Seen(self.run, execution.left, len(execution.choices), task.index)

    def _moved(self) -> None:
        self.still_s = self.cpu_s = 0.0
        self.sample = ()
        self.tries = 0
        self.looked = _real.monotonic()

    def _stands_still(self, frame: FrameType, ident: int) -> bool:
        """Take one sample; say whether the task has stood in one call for longer than patience allows."""
        sample = _positions(frame)
        now, clock = _real.monotonic(), _cpu(ident)
        if sample != self.sample or not sample or _is_alive(frame):
            self._moved()
            self.sample, self.clock = sample, clock
            return False
        # A pause of the whole process (a stopped job, a suspended machine) is not the task's.
        self.still_s += min(now - self.looked, 4 * SAMPLE_S)
        self.cpu_s += clock - self.clock
        self.looked, self.clock = now, clock
        return self.still_s > PATIENCE_S * (BUSY_FACTOR if self._is_busy() else 1.0)

    def _is_busy(self) -> bool:
        return self.cpu_s > BUSY_SHARE * self.still_s

    # --- what follows

    def _judge(self, execution: Execution, frame: FrameType, seen: Seen) -> None:
        if self.verdict is None:
            self.verdict = Blocked(self._text(execution, frame))
        self.tries += 1
        pool = execution.pool
        if isinstance(pool, os_threads.Pool):
            verdict = self.verdict
            pool.gave_up = lambda: self._give_up(execution, pool, verdict, seen)
        elif self.signals and SIGNAL is not None and self.tries % 10 == 1:
            signal.pthread_kill(execution.os_ident, SIGNAL)
        if self.tries == TRIES:
            self.on_hang(str(self.verdict))

    def _give_up(
        self, execution: Execution, pool: os_threads.Pool, verdict: Blocked, seen: Seen
    ) -> bool:
        # On the root, which waits for the running task.
        pool.gave_up = None
        if self._stand(execution) != seen:
            return False
        if execution.abort is None and execution.finding is None:
            execution.abort = verdict
        execution.stopping = True
        pool.abandon()
        return True

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        # In the main thread, inside the blocked call.
        del number, frame
        execution, verdict = current.execution, self.verdict
        if execution is None or verdict is None or self._stand(execution) != self.seen:
            return
        if execution.stopping:
            raise Killed
        execution.stop_with(verdict)

    def _text(self, execution: Execution, innermost: FrameType) -> str:
        task = execution.current
        title = f"{task.title} ({task.path})" if task is not None else "a task"
        last = f" since {task.op}" if task is not None else ""
        own = [*frames(innermost)]
        stack = [f"  {describe(frame)}\n    {_source(frame)}".rstrip() for frame in reversed(own)]
        head = (
            f"blocked outside the check: {title} has been in one call for {self.still_s:.1f} s, "
            f"without an operation{last}; nothing that the check controls can end it"
        )
        remedy = BUSY_REMEDY if self._is_busy() else _remedy(own, innermost)
        what = f"  this is no verdict on the program. What to do: {remedy}"
        return "\n".join([head, *stack, what])


def _positions(frame: FrameType | None) -> tuple[tuple[int, int], ...]:
    out = []
    while frame is not None:
        if frame.f_globals.get("__name__") in _DEBUGGERS:
            return ()  # somebody sits at the prompt
        out.append((id(frame), frame.f_lasti))
        frame = frame.f_back
    return tuple(out)


def _is_alive(frame: FrameType) -> bool:
    # A running thread gives the interpreter up at a backward jump or at the start of a function:
    # one that stands there is waiting for its turn, not for anything else.
    at = frame.f_lasti
    return at >= 0 and dis.opname[frame.f_code.co_code[at]].startswith(_ALIVE)


def _cpu(ident: int) -> float:
    if hasattr(time, "pthread_getcpuclockid"):
        with suppress(OSError):
            return time.clock_gettime(time.pthread_getcpuclockid(ident))
    return _real.monotonic()  # unknown: counts as busy


def _source(frame: FrameType) -> str:
    return linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()


def _remedy(own: list[FrameType], innermost: FrameType) -> str:
    text = " ".join(
        [innermost.f_code.co_filename, *(_source(frame) for frame in (innermost, *own[:2]))]
    )
    for words, remedy in REMEDIES:
        if any(word in text for word in words):
            return remedy
    return ANY_REMEDY


def print_hang(text: str) -> None:
    """Say on stderr that a call cannot be interrupted; the check goes on when it returns."""
    print(f"stage3: {text}\n  the call cannot be interrupted: waiting for it", file=sys.stderr)  # noqa: T201 - the last way out
