"""C12. A state is stored whatever it has become meanwhile: a completion overwrites a cancel.

Upstream: repaired by 6ba11211bd (2020): abort on a move from running to postmigrate.
1. migration: has written all, and is about to commit.
2. monitor: cancels; the state is cancelling.
3. migration: stores its commit over it, and hands the guest over although it was called back.
Fix: compare and swap, from the state that was looked at.
"""

from __future__ import annotations

from mig.runstate import MigrationState, StateCell
from stress.migration.defects.frame import Defect, Step


def move(self: StateCell[MigrationState], expected: MigrationState, event: str) -> bool:
    """Follow `event` from `expected`, whatever the state is."""
    following = self._table[expected, event]
    with self.lock:
        self.value = following
    return True


DEFECT = Defect(
    __doc__,
    "cancel_against_complete",
    "broken invariant",
    "one outcome",
    (Step(StateCell, "move", move, "375a2c04"),),
)
