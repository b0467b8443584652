"""B19. Logging is switched off later than it is over, and a second attempt has begun by then.

Upstream: repaired by a5c90c61a1 (2022): a stop postponed until the guest runs, and a new start before it.
1. migration: the first attempt is cancelled; it leaves switching off the log to the iothread.
2. migration: the second attempt switches logging on.
3. source iothread: switches it off.
4. vcpu 0: stores; nothing is marked.
Fix: whoever starts to log takes a postponed stop back.
"""

from __future__ import annotations

from mig.designs.base import Steps
from mig.runstate import MigrationState
from stress.migration.defects.frame import Defect, Step


def end_locked(self: Steps) -> None:
    """Give the guest away or take it back; switch the log off in a while."""
    if self.state.value is MigrationState.COMPLETED:
        self.cpus.state.follow("migration_done")
    else:
        self.cpus.undo_stop()
    self.clean_up_later()
    self.machine.mainloop.call_later(0.01, self.machine.log.stop)


DEFECT = Defect(
    __doc__,
    "again_after_cancel",
    "broken invariant",
    "memory equal",
    (Step(Steps, "end_locked", end_locked, "bf22d49a"),),
)
