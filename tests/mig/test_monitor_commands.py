"""The commands on a machine: settings, the guest, what is refused, and connections that are made or not."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, cast

import pytest

from mig import transport
from mig.monitor.messages import QmpError
from mig.runstate import RunState
from tests.mig.machines import WAIT
from tests.mig.monitored import EVERYTHING, served

if TYPE_CHECKING:
    import pathlib
    from collections.abc import Mapping

    from mig.monitor.commands import Control
    from mig.monitor.messages import Json
    from mig.monitor.served import Served


def do(made: Served, name: str, arguments: dict[str, Json] | None = None) -> Json:
    """Execute a command."""
    return made.control.commands.execute(name, arguments or {})


def answer(made: Served, name: str) -> dict[str, Json]:
    """A query's answer, an object."""
    return cast("dict[str, Json]", do(made, name))


def refused(made: Served, name: str, arguments: dict[str, Json]) -> str:
    """Why a command is refused."""
    with pytest.raises(QmpError) as caught:
        do(made, name, arguments)
    assert "GenericError" == caught.value.kind
    return caught.value.desc


class Told:
    """Statuses and names of the events of a control, and a wait for one of them."""

    def __init__(self, control: Control) -> None:
        self.names: list[str] = []
        self._news = threading.Condition()
        control.subscribe(self.hear)

    def hear(self, name: str, data: Mapping[str, Json]) -> None:
        """Take an event; passes are left out."""
        with self._news:
            if name != "MIGRATION_PASS":
                self.names.append(str(data.get("status", name)))
            self._news.notify_all()

    def until(self, *names: str) -> list[str]:
        """Everything up to the first of these."""
        with self._news:
            assert self._news.wait_for(lambda: set(names) & set(self.names), WAIT)
            return list(self.names)


def test_settings() -> None:
    """Parameters and capabilities that are set are those that are queried."""
    with served() as made:
        do(made, "migrate-set-parameters", {"max-bandwidth": 5 << 20, "downtime-limit": 7})
        do(made, "migrate-set-capabilities", {"capabilities": EVERYTHING})

        parameters = answer(made, "query-migrate-parameters")
        capabilities = do(made, "query-migrate-capabilities")

        assert (5 << 20, 7) == (parameters["max-bandwidth"], parameters["downtime-limit"])
        assert (5 << 20, 7) == (
            made.control.machine.parameters.max_bandwidth,
            made.control.machine.parameters.downtime_limit_ms,
        )
        assert {"state": True, "capability": "events"} in cast("list[Json]", capabilities)
        assert {"state": False, "capability": "auto-converge"} in cast("list[Json]", capabilities)


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("migrate-set-parameters", {"downtime-limit": 5_000_000}, "downtime_limit_ms is 5000000"),
        ("migrate-set-parameters", {"max-bandwidth": -1}, "max_bandwidth is -1"),
        ("migrate-set-parameters", {"xbzrle-cache-size": 5000}, "power of two"),
        ("migrate-set-parameters", {"multifd-channels": 2}, "'multifd-channels' is unexpected"),
        ("migrate", {"uri": "bogus:1"}, "this is no migration URI"),
        ("migrate", {"uri": "tcp:h:1", "resume": True}, "no paused migration"),
        ("migrate", {"uri": "tcp:h:1", "blk": True}, "no disks"),
        ("migrate-continue", {"state": "pre-switchover"}, "nothing is held"),
        ("migrate-incoming", {"uri": "tcp:127.0.0.1:0"}, "'-incoming' was not specified"),
        ("human-monitor-command", {"command-line": "x", "cpu-index": 0}, "cpu-index"),
    ],
)
def test_refused(name: str, arguments: dict[str, Json], words: str) -> None:
    """What cannot be done is refused with the reason, and nothing has changed."""
    with served() as made:
        before = answer(made, "query-migrate-parameters")

        assert words in refused(made, name, arguments)
        assert before == answer(made, "query-migrate-parameters")
        assert {} == answer(made, "query-migrate")


def test_stop_and_cont() -> None:
    """The guest is stopped and goes on, each told once; a second time changes nothing."""
    with served() as made:
        told = Told(made.control)

        for name in ("stop", "stop", "cont", "cont"):
            assert {} == do(made, name)

        assert ["STOP", "RESUME"] == told.names
        assert {"status": "running", "singlestep": False, "running": True} == answer(
            made, "query-status"
        )


def test_cannot_connect(tmp_path: pathlib.Path) -> None:
    """Where nobody listens, the migration has failed with the reason, and another one may be tried."""
    with served() as made:
        told = Told(made.control)
        do(made, "migrate-set-capabilities", {"capabilities": EVERYTHING})

        assert {} == do(made, "migrate", {"uri": f"unix:{tmp_path}/nobody"})

        assert ["setup", "failed"] == told.until("failed")
        info = answer(made, "query-migrate")
        assert "failed" == info["status"]
        assert "No such file" in str(info["error-desc"])
        assert made.control.machine.running
        do(made, "migrate", {"uri": f"unix:{tmp_path}/nobody"})


def test_cancel_while_connecting() -> None:
    """A cancel does not wait for the connection; one that comes too late is closed, and no migration begins."""
    near, far = socket.socketpair()
    there = threading.Event()

    def connect(_: str, timeout: float) -> socket.socket:
        assert there.wait(WAIT)
        return near

    with served() as made, far:
        made.control.outgoing.open = connect
        told = Told(made.control)
        do(made, "migrate-set-capabilities", {"capabilities": EVERYTHING})
        do(made, "migrate", {"uri": "tcp:127.0.0.1:1"})
        assert {"status": "setup"} == answer(made, "query-migrate")
        assert "in progress" in refused(made, "migrate", {"uri": "tcp:127.0.0.1:1"})
        assert "in progress" in refused(
            made, "migrate-set-capabilities", {"capabilities": EVERYTHING}
        )

        do(made, "migrate_cancel")

        assert {"status": "cancelled"} == answer(made, "query-migrate")
        assert ["setup", "cancelling", "cancelled"] == told.names
        there.set()
        far.settimeout(WAIT)
        assert b"" == far.recv(1)
        assert made.control.machine.migration is None


@pytest.mark.parametrize("paused", [False, True], ids=["running", "stopped"])
def test_arrival(tmp_path: pathlib.Path, paused: bool) -> None:
    """A guest arrives where `migrate-incoming` said, and runs there unless the user stopped it before."""
    with served() as source, served(incoming=True) as destination:
        told = Told(destination.control)
        uri: dict[str, Json] = {"uri": f"unix:{tmp_path}/m"}
        assert "waiting for an incoming" in refused(destination, "migrate", uri)
        do(destination, "stop")
        do(destination, "stop" if paused else "cont")
        assert "inmigrate" == answer(destination, "query-status")["status"]
        do(destination, "migrate-set-capabilities", {"capabilities": EVERYTHING})
        do(destination, "migrate-incoming", uri)
        assert "already been started" in refused(destination, "migrate-incoming", uri)
        listening: Json = [{"type": "unix", "path": f"{tmp_path}/m"}]
        assert {"socket-address": listening} == answer(destination, "query-migrate")

        do(source, "migrate", uri)

        ran = [] if paused else ["RESUME"]
        assert ["setup", "active", *ran, "completed"] == told.until("completed")
        assert "completed" == answer(destination, "query-migrate")["status"]
        expected = RunState.PAUSED if paused else RunState.RUNNING
        assert expected is destination.control.machine.cpus.state.value
        assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("exits", [False, True])
def test_arrival_that_fails(tmp_path: pathlib.Path, exits: bool) -> None:
    """A stream that is none ends the process, unless the user wants to look at it first."""
    uri = f"unix:{tmp_path}/m"
    with served(incoming=True) as made:
        do(made, "migrate-set-capabilities", {"capabilities": EVERYTHING})
        told = Told(made.control)
        do(made, "migrate-incoming", {"uri": uri, "exit-on-error": exits})
        stream = transport.connect(uri)
        stream.sendall(b"GET / HTTP/1.0\r\n")
        stream.close()

        assert ["setup", "active", "failed"] == told.until("failed")
        assert "error-desc" in answer(made, "query-migrate")
        assert not made.control.machine.running
        if exits:
            assert made.control.over.wait(WAIT)
            assert made.control.failure
        else:
            assert not made.control.over.is_set()


def test_close_while_waiting(tmp_path: pathlib.Path) -> None:
    """A machine that waits for a source ends at once, and its socket file is gone."""
    with served(incoming=True) as made:
        do(made, "migrate-incoming", {"uri": f"unix:{tmp_path}/m"})

    assert [] == list(tmp_path.iterdir())
    assert not made.control.over.is_set()


def test_human_monitor() -> None:
    """The human monitor's queries are there, its lines end as QEMU's; the rest is unknown."""
    with served() as made:
        shown = {
            line: str(do(made, "human-monitor-command", {"command-line": line}))
            for line in (
                "info migrate",
                "info  status",
                "info migrate_parameters",
                "info migrate_capabilities",
                "nonsense",
            )
        }

    assert shown["info migrate"].startswith("globals:\r\n")
    assert "VM status: running\r\n" == shown["info  status"]
    assert "downtime-limit: 300 ms\r\n" in shown["info migrate_parameters"]
    assert "xbzrle: off\r\n" in shown["info migrate_capabilities"]
    assert "unknown command: 'nonsense'\r\n" == shown["nonsense"]


def test_quit() -> None:
    """A quit is told, and ends it all."""
    with served() as made:
        told = Told(made.control)

        do(made, "quit")

        assert made.control.over.is_set()
        assert ["SHUTDOWN"] == told.names
