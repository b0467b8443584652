"""The destination process as its parent sees it.

Promises: the child is started, heard by a thread of its own (`side channel`), and gone when the
context ends, whatever happened. Assumes: the package can be imported by a child from where it was
imported here. Does not: interpret messages.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final

from stress.side_channel import ChannelError, Message, receive, send
from stress.watchdog import EXIT_HANG

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import BinaryIO, Self

EXIT_WAIT: Final = 10.0
"""Seconds the destination has to end when told to."""


class DestinationProcess:
    """The child process, with descriptors it inherits; a thread of the parent reads what it says."""

    def __init__(self, inherited: Sequence[int] = ()) -> None:
        self.heard = 0
        self._messages: dict[str, Message] = {}
        self._ended = False
        self._error = "the destination process ended early"
        self._changed = threading.Condition()
        # The child finds the package where this process found it.
        root = str(pathlib.Path(__file__).resolve().parents[1])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stress.migrate_destination"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            pass_fds=inherited,
        )
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, name="side channel", daemon=True)
        self._reader.start()

    def _pipes(self) -> tuple[BinaryIO, BinaryIO]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        return stdin, stdout  # type: ignore[return-value]  # IO[bytes] of a pipe is a BinaryIO

    def _read(self) -> None:
        try:
            while (message := receive(self._pipes()[1])) is not None:
                with self._changed:
                    self._messages[message.kind] = message
                    self.heard += 1
                    self._changed.notify_all()
        except ChannelError as error:
            self._error = str(error)
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def say(self, message: Message) -> None:
        """Send an order; raises `ChannelError`."""
        send(self._pipes()[0], message)

    def wait_for(self, *kinds: str, give_up: threading.Event | None = None) -> Message:
        """The first message of one of these kinds; `ChannelError` when the process ended first."""

        def there() -> bool:
            return (
                self._ended
                or any(kind in self._messages for kind in kinds)
                or (give_up is not None and give_up.is_set())
            )

        with self._changed:
            self._changed.wait_for(there)
            for kind in kinds:
                if kind in self._messages:
                    return self._messages[kind]
        raise ChannelError(self._error)

    def wake(self) -> None:
        """Let whoever waits for a message look at its `give_up`."""
        with self._changed:
            self._changed.notify_all()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def ended_by_watchdog(self) -> bool:
        """Whether it ended because it stood still."""
        try:
            return self._process.wait(1.0) == EXIT_HANG
        except subprocess.TimeoutExpired:
            return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stdin, stdout = self._pipes()
        with contextlib.suppress(OSError):
            stdin.close()
        try:
            self._process.wait(EXIT_WAIT if kind is None else 0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        stdout.close()
