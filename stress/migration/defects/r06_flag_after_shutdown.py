"""R06. The socket is shut before the flag that says why.

Upstream: repaired by f5816b5c86 (2022): a page of zeros was installed, since the error came later than the end.
1. monitor: cancels while the tail is being written; shuts the socket.
2. migration: its write fails; nothing says that this was a cancel, so it is a failure.
3. monitor: sets the flag, too late.
Fix: first the flag, then the shutdown.
"""

from __future__ import annotations

import errno

from mig.designs.base import Steps
from mig.runstate import UNDECIDED, MigrationState
from stress.migration.defects.frame import Defect, Step


def cancel_now(self: Steps) -> None:
    """Ask for the end: shut the socket, then say that it was a cancel."""
    while (state := self.state.value) in UNDECIDED:
        if self.state.move(state, "cancel"):
            break
    if self.state.value in {MigrationState.CANCELLING, MigrationState.COMMITTED}:
        self.channel.abort(OSError(errno.ECANCELED, "the migration was cancelled"))
        self.migration.cancel_requested = True
        self.migration.interrupt()


DEFECT = Defect(
    __doc__,
    "cancel_against_complete",
    "broken invariant",
    "one outcome",
    (Step(Steps, "cancel_now", cancel_now, "e2d3a65a"),),
)
