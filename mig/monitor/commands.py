"""QMP's commands for a machine: the table, and what each does.

Promises: commands are called by the monitor thread, without any lock; those that wait (`stop`, for
the vCPUs) say so. Events of the machine reach `tell` without waiting, from whatever thread.
Does not: know sockets of clients (`mig.monitor.server`).

Source: QEMU 7.2, qapi/migration.json, qapi/misc.json, qapi/run-state.json, qapi/control.json.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from mig import capabilities
from mig.machine import MachineError
from mig.monitor import answers, arguments, messages, text
from mig.monitor.arguments import Choice, Field, Flag, ListOf, Struct, Text, Whole
from mig.monitor.arriving import Arriving
from mig.monitor.dispatch import Dispatcher, Entry
from mig.monitor.messages import QmpError
from mig.monitor.outgoing import Outgoing
from mig.runstate import MigrationState, RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mig.machine import Machine
    from mig.monitor.messages import Json

    Tell = Callable[[str, Mapping[str, Json]], None]

_STATES: Final = tuple(s.value for s in MigrationState if s is not MigrationState.COMMITTED)
_CAPABILITIES: Final = {answers.name_of_capability(name): name for name in capabilities.NAMES}
_URI: Final = Field("uri", Text())
_CHANGE: Final = Struct((Field("capability", Choice(tuple(_CAPABILITIES))), Field("state", Flag())))
_PARAMETERS: Final = tuple(Field(name, Whole(), optional=True) for name in answers.PARAMETERS)


def _nothing() -> None:
    pass


class _Hearing:
    """Passes events on; `setup` of a migration for which it was told while it connected, is left out."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._announced = False

    def hear(self, name: str, data: Mapping[str, str | int]) -> None:
        """Take one event; never by two threads at once (`mig.events`)."""
        if name == "MIGRATION":
            announced, self._announced = self._announced, "connecting" in data
            if announced and data["status"] == "setup":
                return
        self._tell(name, {key: value for key, value in data.items() if key != "connecting"})


class Control:
    """A machine under a user's control.

    `incoming`: it waits for a guest, and `migrate-incoming` or `arriving.listen` says from where.
    `over` is set, and `when_over` called, when the user, or an incoming migration that failed, ends it
    all; `failure` says which.
    """

    def __init__(self, machine: Machine, package: str, *, incoming: bool = False) -> None:
        self.machine = machine
        self.over = threading.Event()
        self.when_over: Callable[[], None] = _nothing
        self.failure = ""
        self.outgoing = Outgoing(machine)
        self.arriving = Arriving(machine, self._failed) if incoming else None
        self._package = package
        self.commands = Dispatcher(self._table())

    def _table(self) -> dict[str, Entry]:
        migrate = Struct(
            (
                _URI,
                Field("detach", Flag(), optional=True),
                Field("resume", Flag(), optional=True),
                Field("blk", Flag(), optional=True),
                Field("inc", Flag(), optional=True),
            )
        )
        incoming = Struct((_URI, Field("exit-on-error", Flag(), optional=True)))
        change = Struct((Field("capabilities", ListOf(_CHANGE)),))
        line = Struct((Field("command-line", Text()), Field("cpu-index", Whole(), optional=True)))
        return {
            "migrate": Entry(self._migrate, migrate),
            "migrate_cancel": Entry(self._cancel),
            "migrate-continue": Entry(self._continue, Struct((Field("state", Choice(_STATES)),))),
            "migrate-incoming": Entry(self._incoming, incoming),
            "migrate-set-capabilities": Entry(self._set_capabilities, change),
            "migrate-set-parameters": Entry(self._set_parameters, Struct(_PARAMETERS)),
            "query-migrate": Entry(lambda _: self.query_migrate()),
            "query-migrate-capabilities": Entry(lambda _: self.query_capabilities()),
            "query-migrate-parameters": Entry(lambda _: self.query_parameters()),
            "query-status": Entry(lambda _: self.query_status()),
            "query-version": Entry(lambda _: messages.version(self._package)),
            "stop": Entry(self._stop),
            "cont": Entry(self._cont),
            "quit": Entry(self._quit),
            "human-monitor-command": Entry(self._human, line),
        }

    def subscribe(self, tell: Tell) -> Callable[[], None]:
        """Have the user's events told, each once and in order; the result ends that."""
        return self.machine.events.subscribe(_Hearing(tell).hear)

    def close(self) -> None:
        """End what is under way, and the machine; the monitor has ended before."""
        self.outgoing.close()
        if self.arriving is not None:
            self.arriving.close()
        self.machine.close()

    def _end(self) -> None:
        self.over.set()
        self.when_over()

    def _failed(self, error: str) -> None:
        self.failure = error
        self._end()

    # --- queries ------------------------------------------------------------------------------------

    def query_migrate(self) -> dict[str, Json]:
        """What `query-migrate` answers: as destination, and as source once it has been one."""
        arrived = {} if self.arriving is None else self.arriving.query()
        return {**arrived, **self.outgoing.query()}

    def query_status(self) -> dict[str, Json]:
        """What `query-status` answers."""
        state = self.machine.cpus.state.value
        return answers.status(state, running=state is RunState.RUNNING)

    def query_capabilities(self) -> list[Json]:
        """What `query-migrate-capabilities` answers."""
        return answers.capabilities(self.machine.capabilities, capabilities.NAMES)

    def query_parameters(self) -> dict[str, Json]:
        """What `query-migrate-parameters` answers."""
        return answers.parameters(self.machine.parameters)

    # --- migration ----------------------------------------------------------------------------------

    def _migrate(self, given: dict[str, Json]) -> Json:
        if arguments.flag(given, "resume"):
            raise QmpError("Cannot resume if there is no paused migration; migrate without resume")
        if arguments.flag(given, "blk") or arguments.flag(given, "inc"):
            raise QmpError("There are no disks to migrate; migrate without blk and inc")
        if self.machine.cpus.state.value is RunState.INMIGRATE:
            raise QmpError("Guest is waiting for an incoming migration; migrate it when it is here")
        self.outgoing.migrate(arguments.text(given, "uri"))
        return {}

    def _cancel(self, _: dict[str, Json]) -> Json:
        self.outgoing.cancel()
        return {}

    def _continue(self, given: dict[str, Json]) -> Json:
        self.machine.continue_migration(arguments.text(given, "state"))
        return {}

    def _incoming(self, given: dict[str, Json]) -> Json:
        if self.arriving is None:
            raise MachineError(
                "'-incoming' was not specified on the command line; start the machine with"
                " --incoming defer"
            )
        exit_on_error = arguments.flag(given, "exit-on-error", default=True)
        self.arriving.listen(arguments.text(given, "uri"), exit_on_error=exit_on_error)
        return {}

    def _set_capabilities(self, given: dict[str, Json]) -> Json:
        self.outgoing.check_idle()
        changes = {
            _CAPABILITIES[arguments.text(change, "capability")]: arguments.flag(change, "state")
            for change in arguments.structs(given, "capabilities")
        }
        self.machine.set_capabilities(**changes)
        return {}

    def _set_parameters(self, given: dict[str, Json]) -> Json:
        changes = {
            answers.PARAMETERS[name]: value
            for name, value in given.items()
            if isinstance(value, int)
        }
        self.machine.set_parameters(**changes)
        return {}

    # --- the guest ----------------------------------------------------------------------------------

    def _stop(self, _: dict[str, Json]) -> Json:
        """Stop the guest and wait for its vCPUs; one that is awaited will not run when it comes."""
        cpus = self.machine.cpus
        with self.machine.big_lock:
            if cpus.state.value is RunState.INMIGRATE:
                self.machine.autostart = False
            else:
                cpus.vm_stop("stop")
        return {}

    def _cont(self, _: dict[str, Json]) -> Json:
        """Let the guest run; one that is awaited will run when it comes."""
        cpus = self.machine.cpus
        with self.machine.big_lock:
            if cpus.state.value is RunState.INMIGRATE:
                self.machine.autostart = True
            elif cpus.state.value is not RunState.RUNNING:
                cpus.vm_start("start")
        return {}

    def _quit(self, _: dict[str, Json]) -> Json:
        self.machine.events.tell("SHUTDOWN", guest=False, reason="host-qmp-quit")
        self._end()
        return {}

    # --- the human monitor ----------------------------------------------------------------------------

    def _human(self, given: dict[str, Json]) -> Json:
        if "cpu-index" in given:
            raise QmpError("Parameter 'cpu-index' is of no use to these commands; leave it out")
        line = " ".join(arguments.text(given, "command-line").split())
        return self.human(line).replace("\n", "\r\n")

    def human(self, line: str) -> str:
        """What the human monitor prints for a command."""
        match line:
            case "info migrate":
                return text.info_migrate(self.query_migrate())
            case "info status":
                return text.info_status(self.query_status())
            case "info migrate_parameters":
                return text.info_parameters(self.query_parameters())
            case "info migrate_capabilities":
                return text.info_capabilities(self.query_capabilities())
            case _:
                return f"unknown command: {line!r}\n"
