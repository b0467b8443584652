"""A user's commands against a migration that begins, is cancelled, is held: every order of them."""

from __future__ import annotations

import pytest

from mig.monitor import commands
from mig.monitor.outgoing import CONNECT_TIMEOUT, Attempt, Outgoing
from verify import RandomWalk, explore, load

TARGET = "stress.migration.scenarios:commanded"


class Forgetful(Outgoing):
    """Does not say in the attempt that a migration came of it, as ours did at first."""

    def connect(self, attempt: Attempt) -> None:
        """Make the connection, begin the migration."""
        stream = self.open(attempt.uri, CONNECT_TIMEOUT)
        with self.lock:
            wanted = attempt.status == "setup"
            if wanted:
                self._begin(stream)
                self._attempt = None
        if not wanted:
            stream.close()


@pytest.mark.slow
def test_cancel_between_connection_and_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancel that saw the connection being made, and comes when it is, must cancel the migration."""
    monkeypatch.setattr(commands, "Outgoing", Forgetful)

    state = explore(load(TARGET), RandomWalk(1), executions=200)

    (group,) = state.groups.values()
    assert "told setup, cancelling, cancelled, active" in group.finding.message


@pytest.mark.slow
def test_pause() -> None:
    """No order of commands, held migration and cancel is reported."""
    assert {} == explore(load(f"{TARGET}?pause=1"), RandomWalk(1), executions=200).groups
