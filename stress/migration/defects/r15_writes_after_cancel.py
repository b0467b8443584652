"""R15. After a cancel the code still writes what comes at the end.

Upstream: repaired by b69a0227a8 (2020).
1. migration: has written all but the tail.
2. monitor: cancels: the state is cancelling.
3. migration: does not look whether its commit was possible, and writes the tail before the socket is shut.
4. peer: has the whole stream; the source runs the guest, too.
Fix: after a commit that failed nothing is written.
"""

from __future__ import annotations

from mig.designs.thread import Thread
from mig.runstate import MigrationState
from stress.migration.defects.frame import Defect, Step


def finish(self: Thread, *, big_lock_held: bool) -> None:
    """Drain, commit, and write the tail in any case."""
    self.drain(big_lock_held=big_lock_held)
    if self.check_error():
        return
    committed = self.state.move(MigrationState.DEVICE, "commit")
    self.tail_at = self.channel.written
    self.channel.append([self.migration.savevm.tail()])
    self.drain(big_lock_held=big_lock_held)
    if committed and not self.check_error():
        self.state.follow("sent")
        self.channel.end()


DEFECT = Defect(
    __doc__,
    "cancel_against_complete",
    "broken invariant",
    "one outcome",
    (Step(Thread, "finish", finish, "12eb4eb4"),),
)
