"""A QEMU process and its monitor (QMP).

Promises: the process is gone when the context ends; `execute` returns what QEMU answers or raises
`QemuError` with QEMU's own words; waiting ends after `PATIENCE` seconds, or when QEMU is gone.
Assumes: one thread. Does not: keep events.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Callable, Sequence
    from types import TracebackType
    from typing import Self

NAME: Final = "qemu-system-x86_64"
PATIENCE: Final = 60.0
"""Seconds after which something that does not happen is an error."""
POLL: Final = 0.005
_ALWAYS: Final = ("-nodefaults", "-nographic", "-display", "none", "-accel", "tcg")

Reply = dict[str, object]


class QemuError(Exception):
    """What QEMU answered or printed instead of doing what it was told."""


def present() -> bool:
    """Whether there is a QEMU to run."""
    return shutil.which(NAME) is not None


class Qemu:
    """One QEMU; `directory` takes what it prints."""

    def __init__(self, arguments: Sequence[str], directory: pathlib.Path) -> None:
        self._printed = directory / "qemu.txt"
        near, far = socket.socketpair()
        near.settimeout(PATIENCE)
        with far, self._printed.open("wb") as printed:
            monitor = f"socket,id=qmp,fd={far.fileno()}"
            self._process = subprocess.Popen(
                [
                    NAME,
                    *_ALWAYS,
                    "-chardev",
                    monitor,
                    "-mon",
                    "chardev=qmp,mode=control",
                    *arguments,
                ],
                pass_fds=(far.fileno(),),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
            )
        self._socket = near
        self._file = near.makefile("rwb")

    def __enter__(self) -> Self:
        try:
            version = cast("Reply", self._answer("QMP"))
            self.version = str(cast("Reply", version["version"])["package"])
            self.execute("qmp_capabilities")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        with contextlib.suppress(OSError):
            self._file.close()
        self._socket.close()

    def _answer(self, key: str) -> object:
        """The value of `key` in the next message that is no event."""
        while line := self._file.readline():
            message = cast("Reply", json.loads(line))
            if "event" in message:
                continue
            if key in message:
                return message[key]
            raise QemuError(f"QEMU says {message.get('error', message)}")
        raise QemuError(f"QEMU is gone: {self._printed.read_text(errors='replace')[-500:]}")

    def execute(self, command: str, **arguments: object) -> object:
        """Carry out a command; the underscores of names are dashes for QEMU where it has them."""
        order = {"execute": command, "arguments": arguments}
        with contextlib.suppress(BrokenPipeError):
            self._file.write(json.dumps(order).encode() + b"\n")
            self._file.flush()
        return self._answer("return")

    def query(self, command: str) -> Reply:
        """What a query says, an object."""
        return cast("Reply", self.execute(command))

    def migration(self) -> Reply:
        """`query-migrate`."""
        return self.query("query-migrate")

    def capabilities(self, *names: str) -> None:
        """Switch capabilities on."""
        wanted = [{"capability": name, "state": True} for name in names]
        self.execute("migrate-set-capabilities", capabilities=wanted)

    def wait(self, what: str, done: Callable[[], bool]) -> None:
        """Ask again until it is done."""
        until = time.monotonic() + PATIENCE
        while not done():
            if time.monotonic() > until:
                raise QemuError(f"{what} did not happen; the migration is {self.migration()}")
            time.sleep(POLL)

    def wait_migrated(self) -> None:
        """Wait for a migration, either way, to complete."""

        def ended() -> bool:
            status = self.migration().get("status")
            if status in {"failed", "cancelled"}:
                raise QemuError(f"the migration is {self.migration()}: {self._printed.read_text()}")
            return status == "completed"

        self.wait("the migration's end", ended)

    def memory(self, size: int, directory: pathlib.Path) -> bytes:
        """The guest's physical memory from 0 on."""
        path = directory / "memory"
        self.execute("pmemsave", val=0, size=size, filename=str(path))
        return path.read_bytes()
