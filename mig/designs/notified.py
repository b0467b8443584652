"""Design `notified`: the stop is requested, and the migration goes on when it is told that the run state changed.

Promises: as `mig.designs.thread`; the guest is stopped by the iothread, which a bottom half asks for it, and the
migration thread completes after the notification that every vCPU has stopped, never before.
Assumes: the iothread serves its bottom halves.

A reviewer's alternative to the bottom half of the series (`mig.designs.faults.StopByBottomHalf`): no flag that says
so too early, and no poll. The request is answered always, also when the migration was cancelled meanwhile, so none is
left over that could stop the guest later.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mig.designs.thread import Thread
from mig.runstate import RunState

if TYPE_CHECKING:
    from mig.migration import Migration


class Notified(Thread):
    """Stop by request and notification."""

    name = "notified"

    def __init__(self, migration: Migration) -> None:
        super().__init__(migration)
        self.told = threading.Condition(self.big_lock)
        self.answer: bool | None = None
        """Whether the guest is stopped for this migration; None while nobody knows."""

    def stop_vm(self) -> bool:
        """Request the stop and wait for the notification. The big lock is held, and free while waiting."""
        self.answer = None
        self.cpus.notifiers.append(self.changed)
        self.machine.mainloop.schedule(self.request)
        self.told.wait_for(lambda: self.answer is not None)
        self.cpus.notifiers.remove(self.changed)
        return self.answer is True

    def request(self) -> None:
        """On the iothread: stop the guest."""
        if not self.cpus.vm_stop("migration_stop"):
            self.tell(stopped=False)

    def changed(self, running: bool) -> None:  # noqa: FBT001 - as the notifiers are called
        """The run state changed; a stop of the user's before ours is none."""
        if not running and self.cpus.state.value is RunState.FINISH_MIGRATE:
            self.tell(stopped=True)

    def tell(self, *, stopped: bool) -> None:
        """Let the migration thread go on; the first answer counts."""
        if self.answer is None:
            self.answer = stopped
        self.told.notify_all()
