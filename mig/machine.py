"""A whole VM: RAM, dirty log, vCPUs, iothread, devices, and at most one migration at a time.

Promises: `close` ends every thread the machine started and gives up its descriptors; a machine can
be closed in every state and any number of times. User commands (`start`, `stop`, `cancel`) may come
from any thread that is no vCPU; parameters and capabilities are replaced as a whole, by any thread.
Assumes: who builds the machine attaches a listener before `start_threads`.
Does not: connect sockets.
"""

from __future__ import annotations

import struct
import threading
from typing import TYPE_CHECKING, Final, Literal

from mig.capabilities import Capabilities
from mig.designs.thread import Thread
from mig.dirtylog import ByteLog
from mig.events import EventHub
from mig.mainloop import MainLoop
from mig.migration import Migration
from mig.parameters import Parameters
from mig.ram import RamList
from mig.ram_load import LoadError
from mig.runstate import RunState
from mig.savevm import Registry
from mig.tracepoints import Tracepoints
from mig.transport import two_way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mig.cpus import Cpus, Program
    from mig.designs.base import Design
    from mig.dirtylog import DirtyLog, MakeLog
    from mig.ram import RamBlock
    from mig.transport import Stream

    Role = Literal["source", "destination"]
    MakeProgram = Callable[["Machine", int], Program]

GLOBAL_STATE: Final = "globalstate"
_GLOBAL = struct.Struct(">I100s")
VCPU: Final = "vcpu"


class MachineError(Exception):
    """A command that the machine cannot carry out now; the text says why and what to do."""


class Machine:
    """One side of a migration.

    `blocks` are (name, length in bytes); `vcpus` one maker of a program for each vCPU, called with
    the machine and the vCPU's number when RAM is there. A source starts in run state prelaunch, a
    destination in inmigrate. `log` makes the dirty log: a byte a page where it is None.
    """

    def __init__(  # noqa: PLR0917 - the order in which one describes a machine
        self,
        role: Role,
        blocks: Sequence[tuple[str, int]],
        vcpus: Sequence[MakeProgram] = (),
        design: type[Design] = Thread,
        parameters: Parameters | None = None,
        trace: Tracepoints | None = None,
        *,
        name: str = "none",
        born_dirty: bool = True,
        log: MakeLog | None = None,
    ) -> None:
        self.name = name
        self.role = role
        self.design = design
        self.parameters = parameters or Parameters()
        """Those in force; a migration under way looks at them, too. Changed by `set_parameters`."""
        self.capabilities = Capabilities()
        """Those of the next migration. Changed by `set_capabilities`."""
        self.events = EventHub()
        self.trace = trace or Tracepoints(role)
        self.big_lock = threading.Lock()
        self.settings_lock = threading.Lock()
        """Guards the replacement of parameters, capabilities and migration; held for a moment, a leaf."""
        self.ram = RamList(self.trace)
        self.log: DirtyLog = (log or ByteLog)(self.trace, born_dirty=born_dirty)
        for block_name, length in blocks:
            self.log.add(self.ram.add(block_name, length))
        self.registry = Registry(name)
        self.migration: Migration | None = None
        self._mainloop: MainLoop | None = None
        programs = [make(self, number) for number, make in enumerate(vcpus)]
        state = RunState.PRELAUNCH if role == "source" else RunState.INMIGRATE
        self.cpus: Cpus = design.cpus_class(self.big_lock, self.trace, programs, state)
        self.cpus.heard = self.events.tell
        self.autostart = True
        """Whether a guest that is awaited may run once it is here. Changed with the big lock held."""
        self._source_ran = True
        self._starting = False
        self._closed = False
        self._register(programs)

    def _register(self, programs: Sequence[Program]) -> None:
        self.registry.add_device(
            GLOBAL_STATE,
            0,
            1,
            size=_GLOBAL.size,
            save=self._save_global,
            load=self._load_global,
            required=False,
        )
        for number, program in enumerate(programs):
            size = len(program.save())
            self.registry.add_device(
                VCPU, number, 1, size=size, save=program.save, load=program.load
            )

    def _save_global(self) -> bytes:
        word = b"running" if self.cpus.resume_wanted else b"paused"
        return _GLOBAL.pack(len(word) + 1, word)

    def _load_global(self, body: bytes) -> None:
        size, padded = _GLOBAL.unpack(body)
        word = padded.rstrip(b"\0")
        if size != len(word) + 1 or not word.isascii():
            raise ValueError(f"a run state of {size} bytes: {word[:20]!r}")
        self._source_ran = word == b"running"

    # --- the user ----------------------------------------------------------------------------------

    @property
    def mainloop(self) -> MainLoop:
        """The iothread; made and started when first asked for."""
        if self._mainloop is None:
            self._mainloop = MainLoop(self.big_lock, f"{self.role} iothread")
            self._mainloop.start()
        return self._mainloop

    def start(self) -> None:
        """Let the guest run; raises `StateError` where the run state does not allow it."""
        with self.big_lock:
            self.cpus.vm_start("start")

    def stop(self) -> bool:
        """Stop the guest and wait for its vCPUs; False when a `start` came in between."""
        with self.big_lock:
            return self.cpus.vm_stop("stop")

    def post_stop(self) -> None:
        """Have the iothread stop the guest, without waiting for it."""
        self.mainloop.schedule(lambda: void(self.cpus.vm_stop("stop")))

    def post_cancel(self) -> None:
        """Have the iothread cancel the migration, without waiting for it."""
        migration = self.migration
        if migration is not None:
            self.mainloop.schedule(migration.design.cancel_now)

    def post_reset(self) -> None:
        """Have the iothread pause all vCPUs for a moment, as a reset does."""
        self.mainloop.schedule(lambda: self.cpus.while_paused(lambda: None))

    @property
    def running(self) -> bool:
        """Whether the run state says that the guest runs here."""
        return self.cpus.state.value is RunState.RUNNING

    @property
    def migrating(self) -> bool:
        """Whether a migration is under way, or about to be."""
        migration = self.migration
        return self._starting or (migration is not None and not migration.finished)

    def set_parameters(self, **changes: int) -> Parameters:
        """Replace some migration parameters, also of a migration under way; the new ones.

        From any thread. Raises `ParameterError`, and then nothing has changed.
        """
        with self.settings_lock:
            self.parameters = self.parameters.changed(**changes)
            return self.parameters

    def set_capabilities(self, **changes: bool) -> Capabilities:
        """Replace some capabilities of the next migration; the new ones.

        From any thread. Raises `CapabilityError`, and `MachineError` while a migration is under way;
        then nothing has changed.
        """
        with self.settings_lock:
            if self.migrating:
                raise MachineError(
                    "capabilities cannot change while a migration is under way;"
                    " cancel it or wait for its end"
                )
            self.capabilities = self.capabilities.changed(**changes)
            return self.capabilities

    def migrate(self, sock: Stream) -> Migration:
        """Move the guest through a connected socket, which the migration owns from now on.

        Raises `MachineError` while another migration runs, when the guest is not here, and when answers are
        asked for that cannot come; the socket then stays the caller's.
        """
        with self.settings_lock:
            self.check_migratable()
            self._check_answers(sock)
            self._starting = True
        try:
            self.mainloop  # noqa: B018 - the iothread has to run before the thread that relies on it
            self.migration = Migration(self, sock, self.design)
            self.migration.start()
        finally:
            self._starting = False
        return self.migration

    def check_migratable(self) -> None:
        """Raise `MachineError` when no migration can begin now."""
        if self.migrating:
            raise MachineError("a migration is under way; cancel it or wait for its end")
        if self.cpus.state.value in {RunState.INMIGRATE, RunState.POSTMIGRATE, RunState.SHUTDOWN}:
            state = self.cpus.state.value.value
            raise MachineError(f"the run state is {state!r}: the guest is not here to be migrated")

    def _check_answers(self, sock: Stream) -> None:
        if self.capabilities.return_path and not (two_way(sock) and self.design.hears):
            raise MachineError(
                "no answer can come back through this transport, or to this design;"
                " switch return-path off, or migrate through a socket with design thread"
            )

    def continue_migration(self, state: str) -> None:
        """Let the migration that is held in `state` ("pre-switchover") go on; from any thread.

        Raises `MachineError` when there is none, or it is in another state.
        """
        migration = self.migration
        if migration is None:
            raise MachineError("no migration was started; nothing is held")
        if not migration.continue_from(state):
            now = migration.shown(migration.state.value)
            raise MachineError(
                f"the migration is in state {now!r}, not held in {state!r};"
                " ask for its state, and continue from 'pre-switchover'"
            )

    def plug(self, name: str, length: int) -> RamBlock:
        """Give the guest another RAM block; not with the big lock. Raises `RamError`.

        A migration that is under way ends as failed: its destination was told the list at the start.
        """
        with self.big_lock:
            block = self.ram.add(name, length)
            self.log.add(block)
        return block

    def unplug(self, name: str) -> None:
        """Take a RAM block away that no vCPU uses any more; not with the big lock. Raises `RamError`.

        First out of the list, then out of the log: whoever walks the list holds the big lock, or the
        ramlist mutex and looks at the version first.
        """
        with self.big_lock:
            block = self.ram.find(name)
            self.ram.remove(name)
            self.log.remove(block)

    # --- the destination's side ---------------------------------------------------------------------

    def device_size(self, name: str, instance: int, version: int) -> int | None:
        """Body size of an own device section; None when there is no such device here."""
        device = self.registry.devices.get((name, instance))
        return device.size if device is not None and device.version == version else None

    def load_device(self, name: str, instance: int, version: int, body: bytes) -> None:
        """Take over the state of an own device; raises `LoadError`."""
        device = self.registry.devices.get((name, instance))
        if device is None or device.version != version or device.load is None:
            raise LoadError(
                f"device {name!r}, instance {instance}, version {version} is not there",
                "give the destination the same machine",
            )
        try:
            device.load(body)
        except ValueError as error:
            raise LoadError(f"device {name!r}: {error}", "migrate the same machine") from None

    def missing_devices(self, loaded: Iterable[tuple[str, int]]) -> list[str]:
        """Own devices that must be loaded and are not among `loaded` (name, instance)."""
        there = set(loaded)
        return [
            f"{name}/{instance}"
            for (name, instance), device in self.registry.devices.items()
            if device.required and (name, instance) not in there
        ]

    def start_guest(self) -> None:
        """Everything is loaded: run the guest, unless it was paused at the source or is to wait."""
        with self.big_lock:
            if self.autostart and self._source_ran:
                self.cpus.vm_start("start")
            else:
                self.cpus.vm_stop("stop")

    # --- the end ------------------------------------------------------------------------------------

    def close(self) -> None:
        """Cancel a migration under way, end the vCPUs and the iothread; not with the big lock."""
        if self._closed:
            return
        self._closed = True
        if self.migration is not None:
            self.migration.cancel()
            self.migration.give_up(OSError("the machine is being closed"))
            self.migration.join()
        # First the iothread: what is scheduled there may wait for vCPUs.
        if self._mainloop is not None:
            self._mainloop.quit()
            self._mainloop.join()
        with self.big_lock:
            self.cpus.state.follow("quit")
            self.cpus.end()
        self.cpus.join()
        self.log.close()


def void(_: object) -> None:
    """Drop a value: for callbacks that return none."""
