"""A worker process seen from its supervisor.

Promises: `Worker` starts one process in a session of its own, hands it batches, reads what it says,
knows which task is under way, and ends it with everything below it.
Assumes: Linux (pidfd, /proc). Does not: decide anything; that is `supervisor`'s part.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections import deque
from typing import TYPE_CHECKING, Final

from verify import _real
from verify.processes import signal_name
from verify.supervise import trees, wire, worker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from verify.supervise.values import Json, Task

SEND_LIMIT_S: Final = 10.0
PIECE: Final = 1 << 18


class Worker:
    """One process in place `slot`, its output in files named `prefix`.

    `tasks` are handed out and unanswered: the first of them is under way, since `since`. `heard` is when
    the worker last said anything, `asked` when a judge may be asked about it. Times are monotonic seconds.
    """

    def __init__(
        self,
        slot: int,
        order: Mapping[str, Json],
        prefix: Path,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.slot = slot
        self.tasks: deque[Task] = deque()
        self.ready = False
        self.done = 0
        self.born = self.since = self.heard = _real.monotonic()
        self.asked = 0.0
        self._lines = wire.Lines()
        self._files = [prefix.with_suffix(".stdout"), prefix.with_suffix(".stderr")]
        near, far = _real.socketpair()
        # For appending: a task that cuts the file goes on at its new end.
        with far, self._files[0].open("ab") as out, self._files[1].open("ab") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", worker.__name__, str(far.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                pass_fds=[far.fileno()],
                start_new_session=True,
                env=environment,
            )
        self.sock = near
        near.setblocking(False)
        # The end of the socket is no proof of an end: a child that the program forked holds it open.
        self.pidfd = os.pidfd_open(self._process.pid)
        self._send(wire.line(dict(order)))

    @property
    def pid(self) -> int:
        """Return the process id."""
        return self._process.pid

    def give(self, tasks: Sequence[Task]) -> bool:
        """Hand out a batch; return False when the worker does not take it."""
        self.tasks.extend(tasks)
        self.since = self.heard = _real.monotonic()
        self.asked = 0.0
        return self._send(wire.batch(tasks))

    def _send(self, data: bytes) -> bool:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self.sock.send(rest) :]
            except BlockingIOError:
                if not _real.select([], [self.sock], [], SEND_LIMIT_S)[1]:
                    return False
            except OSError:
                return False
        return True

    def hear(self) -> Iterator[dict[str, Json]]:
        """Yield what the worker has said since the last call.

        Raises `EOFError` where it has closed its end, `wire.BadMessageError` for what is no message.
        """
        while True:
            try:
                data = self.sock.recv(PIECE)
            except BlockingIOError:
                return
            except OSError:
                raise EOFError from None
            if not data:
                raise EOFError
            self.heard = _real.monotonic()
            yield from self._lines.feed(data)

    def output(self) -> tuple[str, str]:
        """Return what the process printed during its last task: standard output and error."""
        out, err = (worker.read_output(file) for file in self._files)
        return out, err

    def ended(self, wait_s: float = 0.0) -> int | None:
        """Return the exit code (negative: a signal), or None while the process lives."""
        try:
            return self._process.wait(wait_s) if wait_s else self._process.poll()
        except subprocess.TimeoutExpired:
            return None

    def kill(self) -> None:
        """End the process and all below it, now."""
        trees.kill_tree(self.pid)
        self._process.wait()
        self._forget()

    def dismiss(self) -> None:
        """Ask the process to end by itself, after its batch; `bury` makes sure of it."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(1)

    def bury(self, wait_s: float) -> None:
        """Wait for an end that was asked for; kill what is left after `wait_s` seconds, or below it."""
        if self.ended(wait_s) is None:
            trees.kill_tree(self.pid)
            self._process.wait()
        self._forget()

    def _forget(self) -> None:
        with contextlib.suppress(OSError):
            # What it left in its group would go on using the machine.
            os.killpg(self.pid, signal.SIGKILL)
        os.close(self.pidfd)
        self.sock.close()
        for file in self._files:
            file.unlink(missing_ok=True)


def how_it_ended(code: int) -> tuple[bool, str]:
    """Return whether a signal ended a process, and the words for its exit code."""
    if code >= 0:
        return False, f"ended with exit code {code}"
    return True, f"ended by {signal_name(-code)}"
