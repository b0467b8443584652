"""Machines with monitors in this process, and QEMU's own client of QMP."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, cast

from qemu.qmp import ConnectError, QMPClient

from mig.monitor.served import Served
from mig.transport import parse
from tests.mig.machines import WAIT, make

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from mig.monitor.messages import Json

EVERYTHING: list[Json] = [{"capability": "events", "state": True}]


@contextlib.contextmanager
def served(*uris: str, incoming: bool = False, **options: object) -> Iterator[Served]:
    """A small machine with a monitor; all ended at the end."""
    machine = make("destination" if incoming else "source", **options)  # type: ignore[arg-type]  # passed on
    with Served(machine, uris, "test", incoming=incoming) as made:
        if not incoming:
            machine.start()
        yield made


class Qmp:
    """One connected client."""

    def __init__(self, client: QMPClient) -> None:
        self.client = client

    async def do(self, name: str, /, **arguments: Json) -> Json:
        """Execute a command; '_' in a name or an argument stands for '-'."""
        given = {key.replace("_", "-"): value for key, value in arguments.items()}
        word = name if name == "migrate_cancel" else name.replace("_", "-")
        return cast("Json", await self.client.execute(word, given))

    async def query(self, name: str) -> dict[str, Json]:
        """The answer of a query, an object."""
        return cast("dict[str, Json]", await self.do(f"query_{name}"))

    async def switch(self, *capabilities: str) -> None:
        """Switch capabilities on."""
        changes: list[Json] = [{"capability": name, "state": True} for name in capabilities]
        await self.do("migrate_set_capabilities", capabilities=changes)

    async def until(self, *statuses: str) -> dict[str, Json]:
        """Ask until the migration has one of these statuses."""
        async with asyncio.timeout(WAIT):
            while True:
                info = await self.query("migrate")
                if info.get("status") in statuses:
                    return info
                await asyncio.sleep(0.01)

    async def told(self, last: str) -> list[str]:
        """Events up to `last`, each as its name or, for MIGRATION, the status; passes are left out."""
        names: list[str] = []
        async with asyncio.timeout(WAIT):
            while last not in names:
                event = cast("dict[str, Json]", await self.client.events.get())
                data = cast("dict[str, Json]", event.get("data", {}))
                names.append(str(data.get("status", event["event"])))
        return [name for name in names if name != "MIGRATION_PASS"]


async def _connected(target: str | tuple[str, int]) -> QMPClient | None:
    made = QMPClient("test")
    try:
        await made.connect(target)
    except ConnectError:
        return None
    return made


@contextlib.asynccontextmanager
async def client(uri: str) -> AsyncIterator[Qmp]:
    """A client of the monitor at `uri`, ours or a QEMU's, as soon as it is there."""
    address = parse(uri)
    target = address.path if address.scheme == "unix" else (address.host, address.port)
    async with asyncio.timeout(WAIT):
        while True:
            made = await _connected(target)
            if made is not None:
                break
            await asyncio.sleep(0.02)
    try:
        yield Qmp(made)
    finally:
        with contextlib.suppress(EOFError):
            await made.disconnect()
