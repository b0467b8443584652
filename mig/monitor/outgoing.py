"""The source as a user drives it: a URI to migrate to, connected to in the background.

Promises: `migrate` does not wait for the network: until the connection is there the status is `setup`,
and a cancel is obeyed at once; what cannot be connected to has failed, with the reason.
Assumes: all methods are called by the monitor thread, or after its end.
Does not: let a connection attempt be broken off: one that was cancelled is thrown away when it ends,
within `CONNECT_TIMEOUT` seconds.

`lock` decides between the attempt's end and a cancel. It is taken before every other lock:
1. connect: the stream is there; 2. monitor: cancels, finds no migration; 3. connect: begins one.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from mig import transport
from mig.machine import MachineError
from mig.monitor import answers

if TYPE_CHECKING:
    from collections.abc import Callable

    from mig.machine import Machine
    from mig.monitor.messages import Json
    from mig.transport import Stream

CONNECT_TIMEOUT: Final = 10.0
"""Seconds a connection attempt may last."""
CLOSE_WAIT: Final = 1.0
"""Seconds to wait for an attempt when all ends; it holds nothing but its socket."""


BEGUN: Final = "begun"
"""Status of an attempt of which a migration came."""


class Attempt:
    """A connection that is being made; `status` is `BEGUN`, or what `query-migrate` shows."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.status = "setup"
        self.error = ""


class Outgoing:
    """Migrations away from a machine, one after the other."""

    def __init__(self, machine: Machine) -> None:
        self.lock = threading.Lock()
        self.open: Callable[[str, float], Stream] = transport.connect
        """Makes a connection to a URI within so many seconds, or raises `TransportError`."""
        self._machine = machine
        self._attempt: Attempt | None = None
        """The last attempt, unless a migration came of it."""
        self._thread: threading.Thread | None = None

    @property
    def connecting(self) -> bool:
        """Whether a connection is being made."""
        attempt = self._attempt
        return attempt is not None and attempt.status == "setup"

    def check_idle(self) -> None:
        """Raise `MachineError` while a migration is under way."""
        if self.connecting or self._machine.migrating:
            raise MachineError(
                "There's a migration process in progress; cancel it or wait for its end"
            )

    def migrate(self, uri: str) -> None:
        """Begin to migrate; raises `TransportError` for what is no URI, `MachineError`."""
        transport.parse(uri)
        self.check_idle()
        self._machine.check_migratable()
        attempt = self._attempt = Attempt(uri)
        self._tell("setup", connecting=True)
        self._thread = threading.Thread(
            target=self.connect, args=(attempt,), name="connect", daemon=True
        )
        self._thread.start()

    def connect(self, attempt: Attempt) -> None:
        """Body of the thread `connect`: make the connection, begin the migration."""
        try:
            stream = self.open(attempt.uri, CONNECT_TIMEOUT)
        except transport.TransportError as error:
            self._settle(attempt, "failed", str(error))
            return
        with self.lock:
            wanted = attempt.status == "setup"
            refused = self._begin(stream) if wanted else None
            if wanted and refused is None:
                # Both: who looked at the attempt before the lock must not find it waiting.
                attempt.status = BEGUN
                self._attempt = None
        if not wanted or refused is not None:
            stream.close()
        if refused is not None:
            self._settle(attempt, "failed", refused)

    def _begin(self, stream: Stream) -> str | None:
        """Begin the migration; why not, if not."""
        try:
            self._machine.migrate(stream)
        except MachineError as error:
            return str(error)
        return None

    def _settle(self, attempt: Attempt, status: str, error: str) -> bool:
        """End the attempt; False when it has ended already."""
        with self.lock:
            if attempt.status != "setup":
                return False
            attempt.error = error
            attempt.status = status
        if status == "cancelled":
            self._tell("cancelling")
        self._tell(status)
        return True

    def _tell(self, status: str, **more: bool) -> None:
        if self._machine.capabilities.events:
            self._machine.events.tell("MIGRATION", status=status, **more)

    def cancel(self) -> None:
        """Cancel what is under way; nothing where nothing is."""
        attempt = self._attempt
        if attempt is not None and self._settle(attempt, "cancelled", ""):
            return
        migration = self._machine.migration
        if migration is not None:
            migration.cancel()

    def query(self) -> dict[str, Json]:
        """What `query-migrate` answers; empty before the first migration."""
        attempt, migration = self._attempt, self._machine.migration
        if attempt is not None and attempt.status != BEGUN:
            answer: dict[str, Json] = {"status": attempt.status}
            return {**answer, "error-desc": attempt.error} if attempt.error else answer
        return {} if migration is None else answers.migration(migration.info())

    def close(self) -> None:
        """Give up an attempt; the machine's own end cancels a migration."""
        if self._attempt is not None:
            self._settle(self._attempt, "cancelled", "")
        if self._thread is not None:
            self._thread.join(CLOSE_WAIT)
