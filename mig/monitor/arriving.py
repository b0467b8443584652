"""The destination as a user drives it: listen on a URI, take one source, load, run.

Promises: who waits does not hold up the monitor; `close` ends the wait or the load; a load that failed
is told to `failed`, once, on the incoming thread.
Assumes: `listen` and `close` are called by the monitor thread, or by the main thread while no monitor runs.
Does not: load twice: after a failure the guest's memory is worth nothing.

A failure ends the process unless the user said otherwise (`exit-on-error`, as of QEMU 9.1).
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from mig import transport
from mig.incoming import Incoming, State
from mig.machine import MachineError
from mig.monitor import answers

if TYPE_CHECKING:
    from collections.abc import Callable

    from mig.machine import Machine
    from mig.monitor.messages import Json
    from mig.transport import Listener, Stream


class Arriving:
    """The one incoming migration of a machine."""

    def __init__(self, machine: Machine, failed: Callable[[str], None]) -> None:
        self.status: str | None = None
        """As `query-migrate` shows it; None until a source has connected."""
        self.error = ""
        self.uri = ""
        """Where it listens, once it does."""
        self._machine = machine
        self._failed = failed
        self._exit_on_error = True
        self._listener: Listener | None = None
        self._stream: Stream | None = None
        self._closing = False
        self._thread = threading.Thread(target=self.run, name="incoming", daemon=True)

    def listen(self, uri: str, *, exit_on_error: bool = True) -> None:
        """Wait for a source in the background; raises `MachineError`, `TransportError`."""
        if self._listener is not None:
            raise MachineError(
                "The incoming migration has already been started; start another machine"
            )
        self._listener = transport.listen(uri)
        self.uri = self._listener.uri
        self._exit_on_error = exit_on_error
        # As in QEMU, told whether or not the capability is on.
        self._machine.events.tell("MIGRATION", status="setup")
        self._thread.start()

    def run(self) -> None:
        """Body of the thread `incoming`."""
        assert self._listener is not None, "listen comes first"
        try:
            self._stream = self._listener.accept()
        except transport.TransportError as error:
            self._end("failed", str(error))
            return
        finally:
            self._listener.close()
        if self._closing:
            self._stream.close()
            return
        self._enter("active")
        incoming = Incoming(self._machine, self._stream)
        incoming.run()
        if incoming.state is State.COMPLETED:
            self._enter("completed")
        else:
            self._end("failed", str(incoming.error))

    def _end(self, status: str, error: str) -> None:
        if self._closing:
            return
        self.error = error
        self._enter(status)
        if self._exit_on_error:
            self._failed(error)

    def _enter(self, status: str) -> None:
        self.status = status
        if self._machine.capabilities.events:
            self._machine.events.tell("MIGRATION", status=status)

    def query(self) -> dict[str, Json]:
        """What `query-migrate` answers at the destination."""
        answer: dict[str, Json] = {}
        if self.uri and (listed := answers.addresses(transport.parse(self.uri))):
            answer["socket-address"] = listed
        if self.status is not None:
            answer["status"] = self.status
        if self.error:
            answer["error-desc"] = self.error
        return answer

    def close(self) -> None:
        """End what is under way.

        1. close: says that it closes, then wakes the thread; 2. incoming: has a connection all the
        same; 3. incoming: sees that all closes, or has told its stream, which is shut down here.
        """
        self._closing = True
        if self._listener is None:
            return
        self._listener.interrupt()
        stream = self._stream
        if stream is not None:
            with suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
