"""The same commands to a real QEMU and to a machine of ours: answers of one shape, events in one order."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, cast

import pytest
from qemu.qmp import ExecuteError

from mig.monitor.served import Served
from tests.mig.machines import WAIT, make
from tests.mig.monitored import client

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Awaitable, Callable, Iterator

    from mig.monitor.messages import Json
    from tests.mig.monitored import Qmp

QEMU = shutil.which("qemu-system-x86_64")
pytestmark = pytest.mark.skipif(QEMU is None, reason="qemu-system-x86_64 is not installed")

AWAY: dict[str, Json] = {"uri": "exec:cat >/dev/null"}
ABSENT = frozenset(
    {
        "announce-initial", "announce-max", "announce-rounds", "announce-step", "block-incremental",
        "compress-level", "compress-threads", "compress-wait-thread", "cpu-throttle-tailslow",
        "decompress-threads", "max-postcopy-bandwidth", "multifd-channels", "multifd-compression",
        "multifd-zlib-level", "multifd-zstd-level", "tls-authz", "tls-creds", "tls-hostname",
        "x-checkpoint-delay",
    }
)  # fmt: skip
"""Parameters of what is not built."""
BUILT = frozenset(
    {
        "xbzrle", "auto-converge", "release-ram", "pause-before-switchover", "return-path", "events",
        "zero-blocks",
    }
)  # fmt: skip
"""Capabilities that are."""


@contextlib.contextmanager
def both(directory: pathlib.Path, *more: str) -> Iterator[tuple[str, str]]:
    """A QEMU and a machine of ours, 16 MiB and paused; the addresses of their monitors."""
    assert QEMU is not None
    incoming = "-incoming" in more
    words = ["-machine", "none", "-nodefaults", "-display", "none", "-m", "16", "-S"]
    uri = f"unix:{directory}/qemu"
    child = subprocess.Popen([QEMU, *words, "-qmp", f"{uri},server=on,wait=off", *more])
    machine = make("destination" if incoming else "source", pages=4096, vcpus=0)
    try:
        with Served(machine, [f"unix:{directory}/ours"], "test", incoming=incoming) as served:
            yield uri, served.server.uris[0]
    finally:
        child.terminate()
        child.wait(WAIT)


def shape(value: Json) -> Json:
    """The value with each leaf replaced by its type: numbers are all of one."""
    if isinstance(value, dict):
        return {name: shape(member) for name, member in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__


async def outcome(qmp: Qmp, name: str, arguments: dict[str, Json]) -> str:
    """The error class of a refusal, or that there was none."""
    try:
        await qmp.client.execute(name, arguments)
    except ExecuteError as error:
        return error.error_class
    return "accepted"


def members(value: Json) -> dict[str, Json]:
    """An object's members."""
    return cast("dict[str, Json]", value)


def compared(
    directory: pathlib.Path, talk: Callable[[Qmp], Awaitable[Json]], *more: str
) -> tuple[Json, Json]:
    """What the same conversation comes to with QEMU and with ours."""

    async def session(uri: str) -> Json:
        async with client(uri) as qmp:
            return await talk(qmp)

    with both(directory, *more) as uris:
        theirs, ours = (asyncio.run(session(uri)) for uri in uris)
    return theirs, ours


async def figures(qmp: Qmp) -> Json:
    """`query-migrate` and its text in every state of a migration, and the events."""
    await qmp.switch("events", "xbzrle")
    answers = {"none": await qmp.do("query_migrate")}
    texts = {}

    async def look(state: str) -> None:
        answers[state] = await qmp.until(state)
        texts[state] = await qmp.do("human_monitor_command", command_line="info migrate")

    await qmp.do("migrate_set_parameters", max_bandwidth=4096, downtime_limit=0)
    await qmp.do("migrate", **AWAY)
    await look("active")
    await qmp.do("migrate_cancel")
    await look("cancelled")
    told = await qmp.told("cancelled")
    await qmp.do("migrate", uri="unix:/nonexistent/socket")
    await look("failed")
    told += await qmp.told("failed")
    await qmp.switch("pause-before-switchover")
    await qmp.do("migrate_set_parameters", max_bandwidth=1 << 30, downtime_limit=300)
    await qmp.do("migrate", **AWAY)
    await look("pre-switchover")
    await qmp.do("migrate_continue", state="pre-switchover")
    await look("completed")
    told += await qmp.told("completed")
    status = await qmp.do("query_status")
    shapes = {state: shape(answer) for state, answer in answers.items()}
    return [shapes, texts, cast("list[Json]", told), status]


def lines(text: Json) -> list[str]:
    """The text's lines without their numbers and reasons; what we do not have is left out."""
    kept = [re.sub(r"[0-9.]+ ?|\(.*\)", "", line) for line in str(text).split("\r\n")]
    return [line for line in kept if not line.startswith(("decompress", "clear-bitmap"))]


def test_figures(tmp_path: pathlib.Path) -> None:
    """In every state the members of `query-migrate`, their types, the text and the events are QEMU's."""
    theirs, ours = compared(tmp_path, figures)

    (their_shapes, their_texts, *theirs_rest), (our_shapes, our_texts, *ours_rest) = (
        cast("list[Json]", value) for value in (theirs, ours)
    )
    assert their_shapes == our_shapes
    assert theirs_rest == ours_rest
    unless_zero = {"dirty pages rate: pages", "precopy ram: kbytes", "downtime ram: kbytes"}
    for state, text in members(their_texts).items():
        shown = [line for line in lines(text) if line not in unless_zero]
        assert shown == [
            line for line in lines(members(our_texts)[state]) if line not in unless_zero
        ]


async def settings(qmp: Qmp) -> Json:
    """All queries that do not depend on a migration."""
    names = ("version", "status", "migrate_parameters", "migrate_capabilities", "commands")
    return {name: await qmp.do(f"query_{name}") for name in names}


def test_settings(tmp_path: pathlib.Path) -> None:
    """The queries' answers have QEMU's members; parameters have its values, but for what is not built."""
    theirs, ours = (members(value) for value in compared(tmp_path, settings))

    assert shape(theirs["version"]) == shape(ours["version"])
    assert theirs["status"] == ours["status"]
    parameters = members(theirs["migrate_parameters"])
    built = {name: value for name, value in parameters.items() if name not in ABSENT}
    assert built == ours["migrate_parameters"]
    listed = cast("list[dict[str, Json]]", theirs["migrate_capabilities"])
    assert [item for item in listed if item["capability"] in BUILT] == sorted(
        cast("list[dict[str, Json]]", ours["migrate_capabilities"]), key=listed.index
    )
    theirs_names, our_names = (
        {item["name"] for item in cast("list[dict[str, str]]", value["commands"])}
        for value in (theirs, ours)
    )
    assert our_names < theirs_names


REFUSALS: list[tuple[str, dict[str, Json]]] = [
    ("nonsense", {}),
    ("qmp_capabilities", {}),
    ("query-status", {"x": 1}),
    ("migrate", {}),
    ("migrate", {"uri": 5}),
    ("migrate", {"uri": "bogus:1"}),
    ("migrate", {"uri": "tcp:127.0.0.1:1", "resume": True}),
    ("migrate-continue", {"state": "pre-switchover"}),
    ("migrate-continue", {"state": "bogus"}),
    ("migrate-incoming", {"uri": "tcp:127.0.0.1:0"}),
    ("migrate-set-parameters", {"downtime-limit": 5_000_000}),
    ("migrate-set-parameters", {"xbzrle-cache-size": 5000}),
    ("migrate-set-parameters", {"cpu-throttle-initial": 0}),
    ("migrate-set-parameters", {"max-cpu-throttle": 10}),
    ("migrate-set-parameters", {"bogus": 0}),
    ("migrate-set-parameters", {}),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "bogus", "state": True}]}),
    ("migrate-set-capabilities", {"capabilities": [{"capability": "xbzrle", "state": 1}]}),
    ("migrate-set-capabilities", {"capabilities": []}),
    ("migrate_cancel", {}),
    ("stop", {}),
    ("cont", {}),
    ("cont", {}),
]


async def refusals(qmp: Qmp) -> Json:
    """What becomes of commands that are mostly wrong."""
    return [[name, await outcome(qmp, name, arguments)] for name, arguments in REFUSALS]


def test_refusals(tmp_path: pathlib.Path) -> None:
    """What QEMU refuses is refused, with its error class, and what it accepts is accepted."""
    theirs, ours = compared(tmp_path, refusals)

    assert theirs == ours


async def destination(qmp: Qmp) -> Json:
    """What a machine says that waits for a guest."""
    outcomes: list[Json] = [await outcome(qmp, name, {}) for name in ("cont", "stop")]
    outcomes.append(await outcome(qmp, "migrate", AWAY))
    outcomes.append(await outcome(qmp, "migrate-incoming", {"uri": "tcp:127.0.0.1:0"}))
    outcomes.append(await outcome(qmp, "migrate-incoming", {"uri": "tcp:127.0.0.1:0"}))
    told = cast("list[Json]", await qmp.told("setup"))
    return [outcomes, told, await qmp.do("query_status"), shape(await qmp.do("query_migrate"))]


def test_destination(tmp_path: pathlib.Path) -> None:
    """A machine that waits for a guest answers as QEMU does."""
    theirs, ours = compared(tmp_path, destination, "-incoming", "defer")

    assert theirs == ours
