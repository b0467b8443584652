"""Migrations driven by QEMU's own client of QMP, over unix: and tcp:, events and all."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, cast

import pytest

from tests.mig.monitored import client, served

if TYPE_CHECKING:
    import pathlib
    from collections.abc import AsyncIterator

    from mig.machine import Machine
    from mig.monitor.messages import Json
    from mig.monitor.served import Served
    from tests.mig.monitored import Qmp

SLOW = 100_000
"""Bytes a second: it takes ten seconds to send that guest once, with content."""


def busy(uri: str, *, incoming: bool = False) -> contextlib.AbstractContextManager[Served]:
    """A monitored machine whose guest is never done."""
    return served(uri, incoming=incoming, pages=256, writes=None, rate=2000)


def contents(machine: Machine) -> tuple[list[bytes], list[bytes]]:
    """Memory and registers."""
    memory = [bytes(block.view) for block in machine.ram.blocks()]
    return memory, [cpu.program.save() for cpu in machine.cpus.all]


@contextlib.asynccontextmanager
async def both(source: Served, destination: Served) -> AsyncIterator[tuple[Qmp, Qmp]]:
    """Clients of both, events switched on, the destination told not to run what comes."""
    async with client(source.server.uris[0]) as near, client(destination.server.uris[0]) as far:
        await near.switch("events")
        await far.switch("events")
        await far.do("stop")
        yield near, far


async def listening(far: Qmp, *, uri: str) -> str:
    """Have the destination listen; the URI for the source."""
    await far.do("migrate_incoming", uri=uri, exit_on_error=False)
    (address,) = cast("list[dict[str, Json]]", (await far.query("migrate"))["socket-address"])
    if address["type"] == "unix":
        return f"unix:{address['path']}"
    return f"tcp:{address['host']}:{address['port']}"


@pytest.mark.parametrize("way", ["unix", "tcp"])
@pytest.mark.parametrize("capability", ["return-path", "xbzrle"])
def test_migration(tmp_path: pathlib.Path, way: str, capability: str) -> None:
    """A whole migration: its figures, both sides' events in order, memory and registers equal."""
    tcp = way == "tcp"
    places = ["tcp:127.0.0.1:0"] * 3 if tcp else [f"unix:{tmp_path}/{name}" for name in "sdm"]

    async def session(source: Served, destination: Served) -> None:
        async with both(source, destination) as (near, far):
            await near.switch(capability)
            await far.switch(capability)
            uri = await listening(far, uri=places[2])
            assert {} == await near.do("migrate", uri=uri, detach=True)
            info = await near.until("completed", "failed")
            await far.until("completed", "failed")
            ram = cast("dict[str, int]", info["ram"])
            assert ("completed", 256 * 4096) == (info["status"], ram["total"])
            assert ram["transferred"] == ram["precopy-bytes"] + ram["downtime-bytes"]
            assert (capability == "xbzrle") == ("xbzrle-cache" in info)
            assert ["setup", "active", "STOP"] == (await near.told("completed"))[:3]
            assert ["setup", "active", "completed"] == await far.told("completed")
            assert "postmigrate" == (await near.query("status"))["status"]
            assert "paused" == (await far.query("status"))["status"]

    with (
        busy(places[0]) as source,
        busy(places[1], incoming=True) as destination,
    ):
        asyncio.run(session(source, destination))
        assert contents(source.control.machine) == contents(destination.control.machine)


def test_cancel_and_again(tmp_path: pathlib.Path) -> None:
    """A migration that is cancelled leaves the guest running; the next one, faster, completes."""
    places = [f"unix:{tmp_path}/{name}" for name in ("s", "d", "e", "m", "n")]

    async def cancelled(source: Served, destination: Served) -> None:
        async with both(source, destination) as (near, far):
            uri = await listening(far, uri=places[3])
            await near.do("migrate_set_parameters", max_bandwidth=SLOW, downtime_limit=1)
            await near.do("migrate", uri=uri)
            await near.until("active")
            await near.do("migrate_cancel")
            assert {"status": "cancelled"} == await near.until("cancelled")
            told = await near.told("cancelled")
            assert ["setup", "active", "cancelling", "cancelled"] == told
            assert (await near.query("status"))["running"]
            assert "error-desc" in await far.until("failed")

    async def completed(source: Served, destination: Served) -> None:
        async with both(source, destination) as (near, far):
            uri = await listening(far, uri=places[4])
            await near.do("migrate_set_parameters", max_bandwidth=1 << 30, downtime_limit=300)
            await near.do("migrate", uri=uri)
            await near.until("completed")
            await far.until("completed")

    with busy(places[0]) as source:
        with busy(places[1], incoming=True) as first:
            asyncio.run(cancelled(source, first))
        with busy(places[2], incoming=True) as second:
            asyncio.run(completed(source, second))
            assert contents(source.control.machine) == contents(second.control.machine)


def test_parameters_while_migrating(tmp_path: pathlib.Path) -> None:
    """A migration that would take for ever completes when it is given more bandwidth."""
    places = [f"unix:{tmp_path}/{name}" for name in "sdm"]

    async def session(source: Served, destination: Served) -> None:
        async with both(source, destination) as (near, far):
            uri = await listening(far, uri=places[2])
            await near.do("migrate_set_parameters", max_bandwidth=SLOW, downtime_limit=1)
            await near.do("migrate", uri=uri)
            await near.until("active")
            await near.do("migrate_set_parameters", max_bandwidth=1 << 30, downtime_limit=300)
            await near.until("completed")

    with (
        busy(places[0]) as source,
        busy(places[1], incoming=True) as destination,
    ):
        asyncio.run(session(source, destination))


@pytest.mark.parametrize("end", ["continue", "cancel"])
def test_pause_before_switchover(tmp_path: pathlib.Path, end: str) -> None:
    """The guest stands still in pre-switchover until the user continues, or cancels and has it back."""
    places = [f"unix:{tmp_path}/{name}" for name in "sdm"]

    async def session(source: Served, destination: Served) -> None:
        async with both(source, destination) as (near, far):
            await near.switch("pause-before-switchover")
            uri = await listening(far, uri=places[2])
            await near.do("migrate", uri=uri)
            await near.until("pre-switchover")
            assert "finish-migrate" == (await near.query("status"))["status"]
            if end == "continue":
                await near.do("migrate_continue", state="pre-switchover")
                await near.until("completed")
                told = ["device", "completed"]
            else:
                await near.do("migrate_cancel")
                await near.until("cancelled")
                told = ["cancelling", "RESUME", "cancelled"]
            expected = ["setup", "active", "STOP", "pre-switchover", *told]
            assert expected == await near.told(told[-1])

    with (
        busy(places[0]) as source,
        busy(places[1], incoming=True) as destination,
    ):
        asyncio.run(session(source, destination))
        assert source.control.machine.running == (end == "cancel")
