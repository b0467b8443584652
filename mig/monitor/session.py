"""One client's conversation: bytes it sends to lines it gets, whatever it sends.

Promises: first the greeting, then nothing but `qmp_capabilities` until that is done; one answer for
each message and each piece of rubbish, in order, with the message's id; no input raises. A fault of a
command is answered as an internal error, its traceback goes to standard error, and the session goes on.
Assumes: `execute` carries out a command or raises `QmpError`. Does not: do I/O.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Final, Protocol

from mig.monitor import messages
from mig.monitor.arguments import Choice, Field, ListOf, Struct
from mig.monitor.framing import FramingError, Splitter
from mig.monitor.messages import QmpError

if TYPE_CHECKING:
    from mig.monitor.messages import Command, Json

NEGOTIATE: Final = "qmp_capabilities"
_NEGOTIATION: Final = Struct((Field("enable", ListOf(Choice(())), optional=True),))


class Commands(Protocol):
    """Whoever carries out commands."""

    def execute(self, name: str, arguments: dict[str, Json]) -> Json:
        """The command's answer; raises `QmpError`."""


class Session:
    """What has been said between one client and the monitor."""

    def __init__(self, commands: Commands, package: str) -> None:
        self.negotiated = False
        """Whether commands are executed, and events told."""
        self.greeting = messages.greeting(package)
        self._commands = commands
        self._splitter = Splitter()

    def feed(self, data: bytes) -> None:
        """Take bytes of the client; ask `answer` until it gives None."""
        self._splitter.feed(data)

    @property
    def pending(self) -> int:
        """Bytes that came and are not answered."""
        return self._splitter.pending

    def answer(self) -> bytes | None:
        """Carry out the next message and return the line that answers it; None until more bytes come."""
        same_id: dict[str, Json] = {}
        try:
            text = self._splitter.next()
            if text is None:
                return None
            message = messages.parse(text)
            same_id = messages.identity(message)
            return messages.reply(self._execute(messages.command(message)), same_id)
        except FramingError as error:
            return messages.refusal(QmpError(str(error)), {})
        except QmpError as error:
            return messages.refusal(error, same_id)

    def _execute(self, command: Command) -> Json:
        if command.name == NEGOTIATE:
            return self._negotiate(command)
        if not self.negotiated:
            raise QmpError(
                f"Expecting capabilities negotiation with '{NEGOTIATE}'", "CommandNotFound"
            )
        try:
            return self._commands.execute(command.name, command.arguments)
        except QmpError:
            raise
        except Exception as error:  # noqa: BLE001 - ours; the client is told, and its guest lives on
            traceback.print_exc()
            raise QmpError(f"internal error in stage3: {error!r}; please report it") from None

    def _negotiate(self, command: Command) -> Json:
        if self.negotiated:
            raise QmpError(
                "Capabilities negotiation is already complete, command ignored", "CommandNotFound"
            )
        _NEGOTIATION.check(command.arguments)
        self.negotiated = True
        return {}
