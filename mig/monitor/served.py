"""A machine with its monitor: control, server and events put together.

Promises: `close` ends everything that was begun here, the machine included, in an order in which nothing
waits for what has ended; a last event still reaches the clients.
Assumes: `start` and `close` are called by one thread, which is no command.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mig.monitor.commands import Control
from mig.monitor.server import Server

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

    from mig.machine import Machine


class Served:
    """A machine that clients of `uris` control; see `Control` and `Server` for the arguments.

    `close` may be called again. Raises `TransportError` for an address that cannot be served; the machine
    is then left alone.
    """

    def __init__(
        self, machine: Machine, uris: Sequence[str], package: str, *, incoming: bool = False
    ) -> None:
        self.control = Control(machine, package, incoming=incoming)
        self.server = Server(self.control.commands, uris, package)
        self._unsubscribe = self.control.subscribe(self.server.post)

    def start(self) -> None:
        """Serve clients."""
        self.server.start()

    def close(self, reason: str = "") -> None:
        """End it all; `reason`, if there is one, is told as that of QEMU's event SHUTDOWN."""
        if reason:
            self.control.machine.events.tell("SHUTDOWN", guest=False, reason=reason)
        self._unsubscribe()
        self.server.close()
        self.control.close()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self.close()
