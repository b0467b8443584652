"""A migration that stands still, that does not converge, or whose destination goes away."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import threading

import pytest

from stress import destination, guests, migrate, watchdog
from stress.migrate_types import MigrateOptions
from stress.side_channel import ChannelError, Message

ROOT = pathlib.Path(__file__).parents[2]
SLOW = MigrateOptions(ram=1 << 20, vcpus=1, max_bandwidth=20_000, downtime_limit=0)
"""A migration that takes a minute."""


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> list[guests.Source]:
    """Every source that was made, in the order of making."""
    made: list[guests.Source] = []
    real = guests.Source.start

    def start(self: guests.Source, sock: object) -> None:
        made.append(self)
        real(self, sock)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(guests.Source, "start", start)
    return made


def changed(tmp_path: pathlib.Path, **values: float) -> MigrateOptions:
    """`SLOW` with other values, reporting into `tmp_path`."""
    fields = {name: getattr(SLOW, name) for name in MigrateOptions.__dataclass_fields__}
    return MigrateOptions(**{**fields, "output": tmp_path, **values})


@pytest.mark.slow
def test_standing_still_is_reported(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, sources: list[guests.Source]
) -> None:
    """Without progress the result is a hang, with one report of both processes."""
    monkeypatch.setattr(guests.Source, "progress", lambda _self: 0)
    result = migrate.migrate(changed(tmp_path, stall_timeout=0.2))
    sources[0].close()
    assert (result.hung, result.equal, result.exit_code) == (True, False, 5)
    assert result.error is not None
    assert result.error.startswith("no progress for 0.2 s")
    assert result.hang_report == tmp_path / f"hang-{os.getpid()}.txt"
    text = result.hang_report.read_text()
    assert text.index("thread 'migration'") < text.index("thread 'source iothread'")
    assert text.index("py-spy's view of the source") < text.index("view of the destination")


@pytest.mark.slow
def test_not_converging_is_cancelled(tmp_path: pathlib.Path, sources: list[guests.Source]) -> None:
    """At the time limit the migration is cancelled and the guest runs on at the source."""
    running: list[bool] = []
    real = guests.Source.close
    with pytest.MonkeyPatch.context() as patch:

        def close(self: guests.Source) -> None:
            running.append(self.machine.running)
            real(self)

        patch.setattr(guests.Source, "close", close)
        result = migrate.migrate(changed(tmp_path, time_limit=0.1))
    assert (result.exit_code, result.figures.status) == (1, "cancelled")
    assert result.error is not None
    assert "source: cancelled, not converged within 0.1 s; lower the dirty rate" in result.error
    assert not result.converged
    assert "destination: migration stream, byte" in result.error
    assert running == [True]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_destination_that_dies(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, sources: list[guests.Source]
) -> None:
    """A destination that is killed fails the migration; nothing waits for it."""
    real = destination.DestinationProcess.wait_for

    def wait_for(
        self: destination.DestinationProcess, *kinds: str, give_up: threading.Event | None = None
    ) -> Message:
        message = real(self, *kinds, give_up=give_up)
        if message.kind == "listening":
            threading.Timer(0.1, os.kill, (self.pid, signal.SIGKILL)).start()
        return message

    monkeypatch.setattr(destination.DestinationProcess, "wait_for", wait_for)
    result = migrate.migrate(changed(tmp_path))
    assert (result.exit_code, result.hung) == (1, False)
    assert result.error == "the destination process ended early"


@pytest.mark.slow
def test_destination_that_stood_still(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch, sources: list[guests.Source]
) -> None:
    """A destination ended by its own watchdog is a hang, with its report."""
    real = destination.DestinationProcess.wait_for

    def wait_for(
        self: destination.DestinationProcess, *kinds: str, give_up: threading.Event | None = None
    ) -> Message:
        if "result" in kinds:
            self.kill()
            raise ChannelError("gone")
        return real(self, *kinds, give_up=give_up)

    monkeypatch.setattr(destination.DestinationProcess, "wait_for", wait_for)
    monkeypatch.setattr(destination, "EXIT_HANG", -signal.SIGKILL)
    result = migrate.migrate(changed(tmp_path, max_bandwidth=1 << 30))
    assert (result.exit_code, result.hung) == (5, True)
    assert result.error == "the destination stood still"
    assert result.hang_report is not None
    assert result.hang_report.name.startswith("hang-")


PROGRAM = """
import sys
from stress import cli, guests
guests.Source.progress = lambda self: 0
sys.exit(cli.main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_command_ends_with_code_5(tmp_path: pathlib.Path) -> None:
    """The command prints the figures and the report's path, and ends with exit code 5."""
    argv = ["migrate", "--ram", "1M", "--max-bandwidth", "20000", "--downtime-limit", "0"]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *argv, "--stall-timeout", "0.2", "--output", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert (done.returncode, done.stderr) == (watchdog.EXIT_HANG, "")
    (report,) = tmp_path.iterdir()
    assert done.stdout.splitlines()[-1] == f"every thread's backtrace: {report}"
    assert "Migration status: active" in done.stdout
