"""Designs that walk RAM outside the big lock: `sync_only` and `bitmap_thread`.

Promises: as `mig.designs.thread`, and: the big lock is held only to begin, to harvest the shared log and to stop the
guest. RAM is walked under the ramlist mutex alone: the block list cannot change under the walk, and a change between
two portions is seen by its version.
Assumes: nothing that walks RAM needs the dirty log (which is the big lock's).

`sync_only` is the answer to a question asked of the series: hold the big lock only for the sync? Yes: QEMU does since
32c835ba39 and 9b09503752 (February 2013). `bitmap_thread` is another reviewer's proposal: a thread that keeps the dirty
bitmap, and an iothread that has nothing to do with the migration, not even its clean-up.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from mig.designs.thread import Thread
from mig.ram_save import RamChanged

if TYPE_CHECKING:
    from mig.migration import Migration


class SyncOnly(Thread):
    """The big lock for sync and stop only."""

    name = "sync_only"

    def produce(self) -> None:
        """Append a portion without the big lock; at the end of a round harvest with it, and perhaps finish."""
        if self.ram.remaining:
            self.iterate()
        else:
            super().produce()

    def iterate_locked(self) -> None:
        """Nothing: what the harvest found is walked without the big lock."""


class BitmapThread(SyncOnly):
    """A second thread harvests on request and cleans up at the end.

    1. The migration thread, no lock held, asks for a harvest and waits; 2. the bitmap thread takes the big lock,
    harvests, and answers. At the end the migration thread asks once more, and the bitmap thread joins it.
    """

    name = "bitmap_thread"

    def __init__(self, migration: Migration) -> None:
        super().__init__(migration)
        self.asked = threading.Semaphore(0)
        self.answered = threading.Semaphore(0)
        self.over = False
        self.keeper = threading.Thread(target=self.keep, name="dirty bitmap", daemon=True)

    def start_helpers(self) -> None:
        """Start the bitmap thread."""
        self.keeper.start()

    def keep(self) -> None:
        """Body of the bitmap thread."""
        while self.await_request():
            try:
                with self.big_lock:
                    self.harvest()
            except RamChanged as error:
                self.migration.fail(error)
            finally:
                self.answered.release()
        with self.big_lock:
            self.cleanup()

    def await_request(self) -> bool:
        """Wait for a request; False when it is the last one."""
        self.asked.acquire()
        return not self.over

    def produce(self) -> None:
        """Append a portion without the big lock; at the end of a round have the bitmap harvested, perhaps finish."""
        if self.ram.remaining:
            self.iterate()
            return
        self.asked.release()
        self.answered.acquire()
        self.migration.tell_passes()
        if not self.active() or not self.round_is_last():
            return
        with self.big_lock:
            completed = self.stop_and_complete()
        if completed:
            self.finish(big_lock_held=False)

    def clean_up_later(self) -> None:
        """Have the bitmap thread clean up."""
        self.over = True
        self.asked.release()
