"""Watches a counter from a thread of the same process: stacks into a file, then the end of the run.

Promises: when the progress counter has not moved for `stall_timeout` seconds, one file with every
thread's Python backtrace, its name and its role is written, followed by py-spy's view of this
process and of those it started; then `on_hang` is called, which by default ends the process with
exit code 5.
Assumes: some Python thread can still run. While a C call holds the interpreter lock for ever
nothing here runs; that takes a process of its own.
Does not: find the cause (`verify` does, under control), nor kill single threads.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time
import traceback
from typing import TYPE_CHECKING, Final, NamedTuple

from stress.files import write_whole

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType, TracebackType
    from typing import Self

EXIT_HANG: Final = 5
"""Exit code of a run that was ended because it stood still."""
PY_SPY_TIMEOUT: Final = 20.0
"""Seconds that py-spy may take for one process."""
DEFAULT_ROLES: Final[tuple[tuple[str, str], ...]] = (
    ("migration", "walks and sends guest memory"),
    ("iothread", "main loop: descriptors, timers, bottom halves"),
    ("incoming", "receives the guest"),
    ("vcpu", "runs the guest"),
    ("watchdog", "writes this report"),
    ("MainThread", "waits for the migration"),
)
"""Thread name (or its beginning) and what such a thread does, in the order of the report."""


class ThreadView(NamedTuple):
    """One thread at the moment of the report: its Python frames, outermost first."""

    name: str
    role: str
    ident: int
    stack: tuple[str, ...]


def _rank(name: str, roles: Sequence[tuple[str, str]]) -> int:
    for at, (prefix, _) in enumerate(roles):
        if name.startswith(prefix):
            return at
    return len(roles)


def thread_views(
    roles: Sequence[tuple[str, str]] = DEFAULT_ROLES,
    frames: Mapping[int, FrameType] | None = None,
) -> list[ThreadView]:
    """Every Python thread's name, role and stack, in the order of `roles`, then by name."""
    if frames is None:
        frames = sys._current_frames()  # noqa: SLF001  documented, and the only way in
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    views = []
    for ident, frame in frames.items():
        name = names.get(ident, f"thread {ident} (unknown to threading)")
        rank = _rank(name, roles)
        role = roles[rank][1] if rank < len(roles) else "no known role"
        views.append(ThreadView(name, role, ident, tuple(traceback.format_stack(frame))))
    return sorted(views, key=lambda view: (_rank(view.name, roles), view.name))


def find_py_spy() -> str | None:
    """Path of py-spy: beside the interpreter, else on PATH, else None."""
    beside = pathlib.Path(sys.executable).with_name("py-spy")
    return str(beside) if beside.is_file() else shutil.which("py-spy")


def py_spy_view(pid: int, command: str | None) -> str:
    """What py-spy says about process `pid`, or one sentence that says why there is nothing."""
    if command is None:
        return "py-spy is not installed: `pip install py-spy` for a view from outside.\n"
    try:
        done = subprocess.run(
            [command, "dump", "--pid", str(pid)],
            capture_output=True,
            text=True,
            timeout=PY_SPY_TIMEOUT,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"py-spy gave no answer: {error}\n"
    if done.returncode:
        return f"py-spy failed with exit code {done.returncode}: {done.stderr.strip()}\n"
    return done.stdout


def hang_report(headline: str, processes: Mapping[str, int]) -> str:
    """The whole text: headline, Python threads of this process, py-spy's view of each process.

    `processes` maps what a process is ("source", "destination") to its pid.
    """
    parts = [f"{headline}\n\nPython threads of process {os.getpid()}:\n"]
    for view in thread_views():
        parts.append(f"\nthread {view.name!r} ({view.role}), ident {view.ident}:\n")
        parts.extend(view.stack)
    command = find_py_spy()
    for what, pid in processes.items():
        parts.append(f"\npy-spy's view of the {what}, process {pid}:\n")
        parts.append(py_spy_view(pid, command))
    return "".join(parts)


def write_report(directory: pathlib.Path, text: str) -> pathlib.Path:
    """Write `text` as `hang-PID.txt` into `directory` (made when missing): whole or not at all."""
    path = directory / f"hang-{os.getpid()}.txt"
    write_whole(path, text)
    return path


def end_process(path: pathlib.Path | None, headline: str) -> None:
    """Say on stderr where the report is and end this process with exit code 5.

    The interpreter's own dump goes out first, as a second witness that needs no Python code.
    """
    where = "no report could be written" if path is None else f"every thread's backtrace: {path}"
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"{headline}; {where}\n")
        if path is None:
            faulthandler.dump_traceback(file=sys.stderr, all_threads=True)
        sys.stderr.flush()
    os._exit(EXIT_HANG)


class CounterWatchdog:
    """Watches a counter from a thread of its own; use it as a context manager.

    `progress` returns a number that grows while the run gets on; `processes` names the processes to
    look at; `on_hang(path, headline)` is called once, on the watchdog's thread, after the report
    was written (`path` is None when that failed).
    """

    def __init__(
        self,
        progress: Callable[[], int],
        stall_timeout: float,
        directory: pathlib.Path,
        *,
        processes: Callable[[], Mapping[str, int]] = lambda: {"run": os.getpid()},
        on_hang: Callable[[pathlib.Path | None, str], None] = end_process,
    ) -> None:
        if not stall_timeout > 0:
            raise ValueError(f"stall timeout {stall_timeout} s; give a number of seconds above 0")
        self.fired = False
        self._progress = progress
        self._stall_timeout = stall_timeout
        self._directory = directory
        self._processes = processes
        self._on_hang = on_hang
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def _watch(self) -> None:
        period = min(self._stall_timeout / 4, 0.5)
        seen = self._progress()
        since = time.monotonic()
        while not self._stop.wait(period):
            now = self._progress()
            if now != seen:
                seen = now
                since = time.monotonic()
            elif time.monotonic() - since >= self._stall_timeout:
                self._report(seen)
                return

    def _report(self, seen: int) -> None:
        self.fired = True
        headline = f"no progress for {self._stall_timeout:g} s (counter {seen})"
        path: pathlib.Path | None = None
        try:
            path = write_report(self._directory, hang_report(headline, self._processes()))
        except OSError as error:
            headline = f"{headline}, report not written: {error}"
        finally:
            self._on_hang(path, headline)

    def __enter__(self) -> Self:
        """Begin to watch."""
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop watching and wait for the watchdog's thread."""
        self._stop.set()
        self._thread.join()
