"""Run state of a machine and state of a migration: two tables and a cell that follows one.

Promises: a state changes only along its table; an illegal move raises `StateError`, which names the
role, the state and the event; `StateCell.move` is a compare-and-swap: of two threads that start
from the same state one wins, the other is told.
Assumes: the run state is changed with the big lock held; the migration state by any thread.
Does not: act on a change. Who is to hear of moves gives a `Herald`: it notes them in their order, under
the cell's lock, and tells of them when the lock is free.

Source: QEMU runstate_transitions_def (vl.c), f4410a5d99 (compare-and-swap), 6f2b811a61 (cancel
repeats it).
"""

from __future__ import annotations

import enum
import threading
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mig.tracepoints import Tracepoints


class RunState(enum.Enum):
    """What a machine's guest does."""

    PRELAUNCH = "prelaunch"
    RUNNING = "running"
    PAUSED = "paused"
    INMIGRATE = "inmigrate"
    FINISH_MIGRATE = "finish-migrate"
    POSTMIGRATE = "postmigrate"
    SHUTDOWN = "shutdown"


class MigrationState(enum.Enum):
    """How far an outgoing migration is; from COMMITTED on the destination may run the guest."""

    NONE = "none"
    SETUP = "setup"
    ACTIVE = "active"
    PRE_SWITCHOVER = "pre-switchover"
    DEVICE = "device"
    COMMITTED = "committed"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"


_RUN: Final[Mapping[tuple[RunState, str], RunState]] = {
    (RunState.PRELAUNCH, "start"): RunState.RUNNING,
    (RunState.PRELAUNCH, "migration_stop"): RunState.FINISH_MIGRATE,
    (RunState.RUNNING, "stop"): RunState.PAUSED,
    (RunState.RUNNING, "migration_stop"): RunState.FINISH_MIGRATE,
    (RunState.PAUSED, "start"): RunState.RUNNING,
    (RunState.PAUSED, "migration_stop"): RunState.FINISH_MIGRATE,
    (RunState.FINISH_MIGRATE, "migration_done"): RunState.POSTMIGRATE,
    (RunState.FINISH_MIGRATE, "migration_undone"): RunState.RUNNING,
    (RunState.FINISH_MIGRATE, "migration_undone_paused"): RunState.PAUSED,
    (RunState.FINISH_MIGRATE, "migration_unknown"): RunState.PAUSED,
    (RunState.INMIGRATE, "start"): RunState.RUNNING,
    (RunState.INMIGRATE, "stop"): RunState.PAUSED,
}
RUN_TRANSITIONS: Final[Mapping[tuple[RunState, str], RunState]] = {
    **_RUN,
    **{(state, "quit"): RunState.SHUTDOWN for state in RunState},
}
"""The run-state table. A guest given away (POSTMIGRATE) is started by nothing."""

UNDECIDED: Final = (
    MigrationState.SETUP,
    MigrationState.ACTIVE,
    MigrationState.PRE_SWITCHOVER,
    MigrationState.DEVICE,
)
"""States in which a cancel ends the migration, whatever it does at the moment."""
LIVE: Final = (*UNDECIDED, MigrationState.COMMITTED)
"""States of a migration that has not ended and was not told to."""
MIGRATION_TRANSITIONS: Final[Mapping[tuple[MigrationState, str], MigrationState]] = {
    (MigrationState.NONE, "start"): MigrationState.SETUP,
    (MigrationState.SETUP, "set up"): MigrationState.ACTIVE,
    (MigrationState.ACTIVE, "pause"): MigrationState.PRE_SWITCHOVER,
    (MigrationState.PRE_SWITCHOVER, "continue"): MigrationState.DEVICE,
    (MigrationState.ACTIVE, "stopped"): MigrationState.DEVICE,
    (MigrationState.DEVICE, "commit"): MigrationState.COMMITTED,
    (MigrationState.COMMITTED, "sent"): MigrationState.COMPLETED,
    **{(state, "error"): MigrationState.FAILED for state in LIVE},
    **{(state, "cancel"): MigrationState.CANCELLING for state in UNDECIDED},
    (MigrationState.COMMITTED, "aborted"): MigrationState.CANCELLING,
    (MigrationState.CANCELLING, "cleaned up"): MigrationState.CANCELLED,
}
"""The migration table."""

StateT = TypeVar("StateT", RunState, MigrationState)
HeardT_contra = TypeVar("HeardT_contra", RunState, MigrationState, contravariant=True)


class Herald(Protocol[HeardT_contra]):
    """Who is to hear of a cell's moves."""

    def note(self, old: HeardT_contra, new: HeardT_contra) -> None:
        """A move was made; called with the cell's lock held, so it takes none."""

    def deliver(self) -> None:
        """Tell of what was noted; called without the cell's lock."""


class StateError(Exception):
    """An event that the table does not allow in this state."""

    def __init__(
        self, role: str, kind: str, state: str, event: str, *, possible: Iterable[str]
    ) -> None:
        super().__init__(
            f"{role}: {event!r} is not possible while the {kind} is {state!r};"
            f" possible: {', '.join(possible) or 'nothing'}"
        )
        self.role = role
        self.state = state
        self.event = event


class StateCell(Generic[StateT]):
    """A state that moves along a table."""

    def __init__(
        self,
        kind: str,
        table: Mapping[tuple[StateT, str], StateT],
        start: StateT,
        trace: Tracepoints,
        herald: Herald[StateT] | None = None,
    ) -> None:
        self.lock = threading.Lock()
        self.value: StateT = start
        self._kind = kind
        self._table: Mapping[tuple[StateT, str], StateT] = table
        self._trace = trace
        self._herald: Herald[StateT] | None = herald

    def move(self, expected: StateT, event: str) -> bool:
        """Follow `event` if the state is still `expected`; whether it was.

        Raises `StateError` when the table has no such move from `expected`.
        """
        following = self._table.get((expected, event))
        if following is None:
            raise self._refusal(expected, event)
        with self.lock:
            if self.value is not expected:
                return False
            self.value = following
            self._tell(expected, following)
        if self._herald is not None:
            self._herald.deliver()
        return True

    def follow(self, event: str) -> StateT:
        """Follow `event` from whatever the state is; the new state. Raises `StateError`."""
        with self.lock:
            old = self.value
            following = self._table.get((old, event))
            if following is not None:
                self.value = following
                self._tell(old, following)
        if following is None:
            raise self._refusal(old, event)
        if self._herald is not None:
            self._herald.deliver()
        return following

    def _refusal(self, state: StateT, event: str) -> StateError:
        possible = [way for origin, way in self._table if origin is state]
        return StateError(self._trace.role, self._kind, state.value, event, possible=possible)

    def _tell(self, old: StateT, new: StateT) -> None:
        if self._herald is not None:
            self._herald.note(old, new)
        listener = self._trace.listener
        if listener is None:
            return
        if isinstance(new, RunState):
            listener.event("run_state", role=self._trace.role, state=new.value)
        else:
            listener.event("migration_state", old=old.value, new=new.value)
