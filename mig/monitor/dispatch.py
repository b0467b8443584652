"""The table of commands: a name, the types of its arguments, and who carries it out.

Promises: a command runs only with arguments of its types; an error that says what to do reaches the
client as QMP's GenericError. Does not: know sockets.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Final

from mig.capabilities import CapabilityError
from mig.machine import MachineError
from mig.monitor.arguments import Struct
from mig.monitor.messages import QmpError
from mig.monitor.session import NEGOTIATE
from mig.parameters import ParameterError
from mig.runstate import StateError
from mig.transport import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mig.monitor.messages import Json

    Run = Callable[[dict[str, Json]], Json]

REFUSALS: Final = (MachineError, StateError, ParameterError, CapabilityError, TransportError)
"""What the engine raises for a command that cannot be carried out now."""
NOTHING: Final = Struct()
"""No arguments."""
_SHOWN: Final = 60


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """One command."""

    run: Run
    arguments: Struct = NOTHING


class Dispatcher:
    """Carries out commands by a table, to which `query-commands` is added."""

    def __init__(self, table: Mapping[str, Entry]) -> None:
        self._table = {**table, "query-commands": Entry(self._names)}

    def execute(self, name: str, arguments: dict[str, Json]) -> Json:
        """The command's answer; raises `QmpError`."""
        entry = self._table.get(name)
        if entry is None:
            raise QmpError(
                f"The command {name[:_SHOWN]} has not been found; query-commands lists them",
                "CommandNotFound",
            )
        entry.arguments.check(arguments)
        try:
            return entry.run(arguments)
        except REFUSALS as error:
            raise QmpError(str(error)) from None

    def _names(self, _: dict[str, Json]) -> Json:
        return [{"name": name} for name in sorted({*self._table, NEGOTIATE})]
