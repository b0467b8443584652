"""The destination side: receives one stream and starts the guest when, and only when, it is whole.

Promises: the guest starts only after every page of every block came, RAM ended, the end byte and the VM
description were seen, and, from a stage3, the source closed its side and all that it claims to have sent
came unchanged (`mig.checks`); otherwise the guest does not start, and `error` says why. A source that
opened the return path is answered, and told how it ended, whichever way. Foreign device sections are
kept byte for byte in `foreign`.
Assumes: the source is stage3 or a QEMU that describes its devices. QEMU itself would also start from a
stream with missing pages or without an end; this destination refuses it, since nothing else would
tell.
Does not: open sockets (`mig.transport`), or retry.

The states and what may come in each are the table `TRANSITIONS`.
"""

from __future__ import annotations

import contextlib
import enum
import socket
import threading
from typing import TYPE_CHECKING, Final, Protocol

from mig import checks, wire, wire_commands
from mig.answers import Answers
from mig.checks import Claim, ClaimError
from mig.ram_load import LoadError, RamLoader
from mig.return_path import READY
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
    VmDescription,
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
    (State.SETUP, "Command"): State.SETUP,
    (State.SETUP, "SectionStart"): State.SETUP,
    (State.SETUP, "RamSetup"): State.RAM,
    (State.RAM, "Command"): State.RAM,
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
    (State.DEVICES, "Command"): State.DEVICES,
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

    `before_start` is called when everything is loaded, the source has given the guest away, and no vCPU has
    run a step; the source waits meanwhile. With `paused` the
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
        self._answers = Answers(sock)
        self._claim: Claim | None = None
        """What the source, a stage3 that hears answers, said that it sent."""
        self._claim_text = b""
        self._described: Claim | None = None
        """The same of a VM description."""
        self._loaded = False
        self._decoder = Decoder(self._size_of)
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
            self._take_over()
        except (wire.WireError, LoadError, ClaimError, OSError) as error:
            self._fail(error)
        except BaseException as error:
            # A fault of our own: the guest must not start either, and the thread shows the error.
            self._fail(LoadError(f"internal error in stage3: {error!r}", "report it"))
            raise
        finally:
            self._answers.end(1)
            self._socket.close()

    def interrupt(self) -> None:
        """Have it end, as failed unless it has everything; from any thread, without waiting."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

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
            if self._answered_end():
                return
        self._decoder.finish()
        self._apply_all()

    def _answered_end(self) -> bool:
        """Whether this is the end of a stream whose source waits for an answer, and so does not close it.

        A stage3 closes its side, so that what follows the end can be seen.
        """
        if not self._answers.open or self._claim is not None:
            return False
        if self._decoder.end_at_description():
            self._apply_all()
        return self.state is State.ENDED

    def _apply_all(self) -> None:
        for event in self._decoder:
            self._advance(_kind(event))
            self._apply(event)

    def _obey(self, command: Command) -> None:
        """Do what the source asks for."""
        value = wire_commands.parse(command.code, command.data, self._decoder.offset)
        match value:
            case wire_commands.Bare(wire_commands.Code.OPEN_RETURN_PATH):
                self._answers.begin()
            case wire_commands.Ping(number):
                if number == READY and self.state is State.DEVICES:
                    self._load()
                self._answers.pong(number)
            case wire_commands.Claimed(text, more) if self.state is State.DEVICES:
                self._hear_claim(text, more=more)
            case _:
                what = f"the source sends {value}"
                raise LoadError(
                    what, "migrate with no other capability than xbzrle and return-path"
                )

    def _hear_claim(self, text: bytes, *, more: bool) -> None:
        self._claim_text += text
        if self._claim is not None or len(self._claim_text) > checks.MAX_TEXT:
            what = f"the source claims {len(self._claim_text)} bytes of what it sent, or twice"
            raise LoadError(what, "migrate between equal versions of stage3")
        if not more:
            self._claim = checks.parse(self._claim_text)

    def _size_of(self, name: str, instance: int, version: int) -> int | None:
        """Bytes of a device section: of an own device, or as the source said before."""
        size = self._machine.device_size(name, instance, version)
        if size is None and self._claim is not None:
            for section in self._claim.devices:
                if section[:3] == (name, instance, version):
                    return section.size
        return size

    def _apply(self, event: Event) -> None:
        match event:
            case Page(block, offset, data):
                self.loader.page(block, offset, data)
            case ZeroPage(block, offset):
                self.loader.zero(block, offset)
            case PageRun(block, offsets, pages, raw):
                self.loader.page_run(block, offsets, pages, raw)
            case ZeroRun(block, offsets, raw):
                self.loader.zero_run(block, offsets, raw)
            case DeltaPage(block, offset, delta):
                self.loader.delta(block, offset, delta)
            case _:
                self._apply_rest(event)

    def _apply_rest(self, event: Event) -> None:
        """What is no page."""
        match event:
            case RamSetup(_, blocks):
                self.loader.setup(blocks)
            case Configuration(machine):
                self._check_machine(machine)
            case DeviceSection():
                self._keep(event)
            case Command():
                self._obey(event)
            case VmDescription(text):
                self._described = checks.in_description(text)
            case _:
                pass

    def _check_machine(self, machine: str) -> None:
        if machine != self._machine.name:
            what = f"the source is a {machine!r}, this machine a {self._machine.name!r}"
            raise LoadError(what, "start the destination as the same machine")

    def _keep(self, section: DeviceSection) -> None:
        if self._loaded:
            what = f"device {section.name!r} comes after the source asked whether all is loaded"
            raise LoadError(what, "migrate between equal versions of stage3")
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
        if self._loaded:
            self._compare(self._described)

    def _compare(self, claim: Claim | None) -> None:
        """Compare what came with what the source, if it is a stage3, says that it sent."""
        if claim is None:
            return
        different = claim.differences(self.loader.pages(), self.loader.checks.digests())
        if different is not None:
            raise LoadError(different, "migrate again; see what damages the stream on its way")

    def _load(self) -> None:
        """Check what came, and load the devices; once."""
        if self._loaded:
            return
        self._loaded = True
        self._check_whole()
        for section in self._own:
            self._machine.load_device(section.name, section.instance, section.version, section.body)

    def _check_whole(self) -> None:
        """Check that nothing of RAM and devices is missing or damaged."""
        if missing := self.loader.missing():
            raise LoadError(f"pages that never came: {missing}", "migrate again; report the source")
        loaded = [(section.name, section.instance) for section in self._own]
        if lacking := self._machine.missing_devices(loaded):
            raise LoadError(f"no state came for {', '.join(lacking)}", "migrate the same machine")
        self._compare(self._claim)
        self._compare(self._described)

    def _take_over(self) -> None:
        """Everything is there, and the source has given the guest away: say so, and run it."""
        if self._before_start is not None:
            self._before_start()
        self._advance("loaded")
        self._answers.end(0)
        if not self._paused:
            self._machine.start_guest()
