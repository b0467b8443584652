"""The destination side: receives one stream and starts the guest when, and only when, it is whole.

Promises: device state is loaded and the guest started only after every page of every block came, RAM
ended, the end byte and the VM description were seen and the source closed its side; otherwise the
guest does not start, no device was changed, and `error` says why. Foreign device sections are kept
byte for byte in `foreign`.
Assumes: the source is stage3 or a QEMU that describes its devices. QEMU itself would also start from a
stream with missing pages or without an end; this destination refuses it, since nothing else would
tell.
Does not: open sockets (`mig.transport`), answer the source (there is no return path), or retry.

The states and what may come in each are the table `TRANSITIONS`.
"""

from __future__ import annotations

import enum
import threading
from typing import TYPE_CHECKING, Final, Protocol

from mig import wire
from mig.ram_load import LoadError, RamLoader
from mig.wire_decode import Decoder
from mig.wire_events import (
    Command,
    Configuration,
    DeltaPage,
    DeviceSection,
    Page,
    PageRun,
    RamSetup,
    SectionPart,
    ZeroPage,
    ZeroRun,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from mig.ram import RamList
    from mig.tracepoints import Tracepoints
    from mig.transport import Stream
    from mig.wire_events import Event

RECEIVE_BYTES: Final = 1 << 20
"""Most bytes taken from the socket at once."""


class State(enum.Enum):
    """How far the destination is."""

    CREATED = "created"
    HEADER = "header"
    CONFIGURATION = "configuration"
    SETUP = "setup"
    RAM = "ram"
    LAST_RAM = "last ram"
    DEVICES = "devices"
    DESCRIPTION = "description"
    ENDED = "ended"
    COMPLETED = "completed"
    FAILED = "failed"


TRANSITIONS: Final[Mapping[tuple[State, str], State]] = {
    (State.CREATED, "connected"): State.HEADER,
    (State.HEADER, "Header"): State.CONFIGURATION,
    (State.CONFIGURATION, "Configuration"): State.SETUP,
    (State.SETUP, "ConfigurationExtra"): State.SETUP,
    (State.SETUP, "SectionStart"): State.SETUP,
    (State.SETUP, "RamSetup"): State.RAM,
    (State.RAM, "SectionEnd"): State.RAM,
    (State.RAM, "PART"): State.RAM,
    (State.RAM, "Page"): State.RAM,
    (State.RAM, "ZeroPage"): State.RAM,
    (State.RAM, "PageRun"): State.RAM,
    (State.RAM, "ZeroRun"): State.RAM,
    (State.RAM, "DeltaPage"): State.RAM,
    (State.RAM, "END"): State.LAST_RAM,
    (State.LAST_RAM, "Page"): State.LAST_RAM,
    (State.LAST_RAM, "ZeroPage"): State.LAST_RAM,
    (State.LAST_RAM, "PageRun"): State.LAST_RAM,
    (State.LAST_RAM, "ZeroRun"): State.LAST_RAM,
    (State.LAST_RAM, "DeltaPage"): State.LAST_RAM,
    (State.LAST_RAM, "SectionEnd"): State.DEVICES,
    (State.DEVICES, "DeviceSection"): State.DEVICES,
    (State.DEVICES, "EndOfFile"): State.DESCRIPTION,
    (State.DESCRIPTION, "VmDescription"): State.ENDED,
    (State.ENDED, "loaded"): State.COMPLETED,
}
"""Next state for a state and what came: the name of the event's class, PART or END for the head of a
RAM section, or one of the destination's own steps in lower case. From every state but the last two
an error leads to FAILED."""


class Destination(Protocol):
    """What the incoming side needs of the machine it fills."""

    @property
    def name(self) -> str:
        """Machine name, compared with the source's."""

    @property
    def ram(self) -> RamList:
        """The block list to fill."""

    @property
    def trace(self) -> Tracepoints:
        """Where events and accesses are declared."""

    def device_size(self, name: str, instance: int, version: int) -> int | None:
        """Body size of an own device section; None when this machine has no such device."""

    def load_device(self, name: str, instance: int, version: int, body: bytes) -> None:
        """Take over the state of an own device; raises `LoadError` for a body it cannot have."""

    def missing_devices(self, loaded: Iterable[tuple[str, int]]) -> list[str]:
        """Own devices whose section is necessary and not among `loaded` (name, instance)."""

    def start_guest(self) -> None:
        """Let the vCPUs run."""


def _kind(event: Event) -> str:
    if isinstance(event, SectionPart):
        return event.kind.name
    return type(event).__name__


class Incoming:
    """One incoming migration on a connected socket, which it owns and closes.

    `before_start` is called when everything is loaded and no vCPU has run a step. With `paused` the
    guest is loaded and left stopped.
    """

    def __init__(
        self,
        machine: Destination,
        sock: Stream,
        *,
        before_start: Callable[[], None] | None = None,
        paused: bool = False,
    ) -> None:
        self.state = State.CREATED
        self.error: Exception | None = None
        """Why it failed: `WireError`, `LoadError` or `OSError`; None unless the state is FAILED."""
        self.foreign: list[DeviceSection] = []
        """Device sections of devices this machine does not have, in the order they came."""
        self.received_bytes = 0
        self.loader = RamLoader(machine.ram, machine.trace)
        self._machine = machine
        self._socket = sock
        self._before_start = before_start
        self._paused = paused
        self._own: list[DeviceSection] = []
        self._decoder = Decoder(machine.device_size)
        self._thread = threading.Thread(target=self.run, name="incoming", daemon=True)

    def start(self) -> None:
        """Receive on a thread of its own, called `incoming`."""
        self._thread.start()

    def join(self, timeout: float | None = None) -> bool:
        """Wait for the thread; False when it still runs after `timeout` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def run(self) -> None:
        """Receive until the source closes, then load and start the guest, or fail."""
        try:
            self._advance("connected")
            self._receive()
            self._check()
            self._load()
        except (wire.WireError, LoadError, OSError) as error:
            self._fail(error)
        except BaseException as error:
            # A fault of our own: the guest must not start either, and the thread shows the error.
            self._fail(LoadError(f"internal error in stage3: {error!r}", "report it"))
            raise
        finally:
            self._socket.close()

    def _fail(self, error: Exception) -> None:
        self.error = error
        self._enter(State.FAILED)

    def _enter(self, state: State) -> None:
        if state is self.state:
            return
        self.state = state
        if (listener := self._machine.trace.listener) is not None:
            listener.event("incoming_state", state=state.value)

    def _advance(self, kind: str) -> None:
        following = TRANSITIONS.get((self.state, kind))
        if following is None:
            raise LoadError(
                f"the stream has {kind} at byte {self._decoder.offset} in state {self.state.value}",
                "send header, configuration, RAM, devices and end, each once and in this order",
            )
        self._enter(following)

    def _receive(self) -> None:
        while data := self._socket.recv(RECEIVE_BYTES):
            self.received_bytes += len(data)
            self._decoder.feed(data)
            self._apply_all()
        self._decoder.finish()
        self._apply_all()

    def _apply_all(self) -> None:
        for event in self._decoder:
            if isinstance(event, Command):
                what = f"command {event.code}, but this destination has no return path"
                raise LoadError(what, "migrate without return-path and postcopy")
            self._advance(_kind(event))
            self._apply(event)

    def _apply(self, event: Event) -> None:
        match event:
            case Page(block, offset, data):
                self.loader.page(block, offset, data)
            case ZeroPage(block, offset):
                self.loader.zero(block, offset)
            case PageRun(block, offsets, pages):
                self.loader.page_run(block, offsets, pages)
            case ZeroRun(block, offsets):
                self.loader.zero_run(block, offsets)
            case DeltaPage(block, offset, delta):
                self.loader.delta(block, offset, delta)
            case RamSetup(_, blocks):
                self.loader.setup(blocks)
            case Configuration(machine):
                self._check_machine(machine)
            case DeviceSection():
                self._keep(event)
            case _:
                pass

    def _check_machine(self, machine: str) -> None:
        if machine != self._machine.name:
            what = f"the source is a {machine!r}, this machine a {self._machine.name!r}"
            raise LoadError(what, "start the destination as the same machine")

    def _keep(self, section: DeviceSection) -> None:
        size = self._machine.device_size(section.name, section.instance, section.version)
        if size is None:
            self.foreign.append(section)
        elif size == len(section.body):
            self._own.append(section)
        else:
            what = f"device {section.name!r}: {len(section.body)} bytes of state, expected {size}"
            raise LoadError(what, "migrate between equal versions of stage3")

    def _check(self) -> None:
        if self.state is not State.ENDED:
            what = f"the stream ended in state {self.state.value}"
            raise LoadError(what, "have the source send everything, VM description included")
        if missing := self.loader.missing():
            raise LoadError(f"pages that never came: {missing}", "migrate again; report the source")
        loaded = [(section.name, section.instance) for section in self._own]
        if lacking := self._machine.missing_devices(loaded):
            raise LoadError(f"no state came for {', '.join(lacking)}", "migrate the same machine")

    def _load(self) -> None:
        for section in self._own:
            self._machine.load_device(section.name, section.instance, section.version, section.body)
        if self._before_start is not None:
            self._before_start()
        self._advance("loaded")
        if not self._paused:
            self._machine.start_guest()
