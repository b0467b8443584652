"""C15. A cancel is reported as a failure: the error that it causes overwrites the state.

Upstream: repaired by c3c5eae6ac (2019).
1. monitor: cancels: the state is cancelling, and the socket is shut.
2. migration: its write fails for that.
3. migration: records a failure, whatever the state is.
Fix: an error ends only a migration that nobody has ended.
"""

from __future__ import annotations

from mig.migration import Migration
from mig.runstate import MigrationState
from stress.migration.defects.frame import Defect, Step


def fail(self: Migration, error: Exception) -> None:
    """End it as failed."""
    with self.state.lock:
        self.state.value = MigrationState.FAILED
    self._failure = error
    self.interrupt()


DEFECT = Defect(
    __doc__,
    "cancel_against_complete",
    "broken invariant",
    "one outcome",
    (Step(Migration, "fail", fail, "826e9b0e"),),
)
