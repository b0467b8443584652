"""The two state tables, and the cell that follows one."""

from __future__ import annotations

import itertools

import pytest

from mig.runstate import (
    MIGRATION_TRANSITIONS,
    RUN_TRANSITIONS,
    MigrationState,
    RunState,
    StateCell,
    StateError,
)
from mig.tracepoints import Tracepoints
from tests.mig.machines import Notes

RUN_EVENTS = sorted({event for _, event in RUN_TRANSITIONS})
MIGRATION_EVENTS = sorted({event for _, event in MIGRATION_TRANSITIONS})


@pytest.mark.parametrize(("state", "event"), list(itertools.product(RunState, RUN_EVENTS)))
def test_run_states(state: RunState, event: str) -> None:
    """Each event leads where the table says, or is refused and changes nothing."""
    cell = StateCell("run state", RUN_TRANSITIONS, state, Tracepoints("source"))
    if (state, event) in RUN_TRANSITIONS:
        assert RUN_TRANSITIONS[state, event] is cell.follow(event)
    else:
        with pytest.raises(StateError, match=rf"source: '{event}' .* run state is '{state.value}'"):
            cell.follow(event)
        assert state is cell.value


@pytest.mark.parametrize(
    ("state", "event"), list(itertools.product(MigrationState, MIGRATION_EVENTS))
)
def test_migration_states(state: MigrationState, event: str) -> None:
    """A swap needs the expected state and a move of the table."""
    cell = StateCell("migration", MIGRATION_TRANSITIONS, state, Tracepoints("source"))
    if (state, event) not in MIGRATION_TRANSITIONS:
        with pytest.raises(StateError, match="possible: "):
            cell.move(state, event)
        assert state is cell.value
        return
    assert cell.move(state, event)
    assert MIGRATION_TRANSITIONS[state, event] is cell.value
    assert not cell.move(state, event)


def test_given_away() -> None:
    """A guest that was given away is started by no event, and neither is a finished machine."""
    for state in (RunState.POSTMIGRATE, RunState.SHUTDOWN):
        ways = {new for (old, _), new in RUN_TRANSITIONS.items() if old is state}
        assert {RunState.SHUTDOWN} == ways


def test_after_the_commit() -> None:
    """No cancel moves a migration once its stream may be whole."""
    assert (MigrationState.COMMITTED, "cancel") not in MIGRATION_TRANSITIONS
    ended = {MigrationState.COMPLETED, MigrationState.FAILED, MigrationState.CANCELLED}
    assert set() == {old for old, _ in MIGRATION_TRANSITIONS} & ended


def test_events() -> None:
    """Each move is told once, a refused or lost one not at all."""
    notes = Notes()
    trace = Tracepoints("source", notes)
    run = StateCell("run state", RUN_TRANSITIONS, RunState.PRELAUNCH, trace)
    run.follow("start")
    with pytest.raises(StateError):
        run.follow("start")
    migration = StateCell("migration", MIGRATION_TRANSITIONS, MigrationState.NONE, trace)
    migration.follow("start")
    assert not migration.move(MigrationState.DEVICE, "commit")
    assert [
        ("run_state", {"role": "source", "state": "running"}),
        ("migration_state", {"old": "none", "new": "setup"}),
    ] == notes.events
