"""A watch over one outgoing migration: a destination that stands still ends it.

Promises: when, for `stall_timeout_ms`, bytes wait and none is taken, or an answer is waited for and nothing
comes, the migration fails with an error that says so, and whoever is blocked in a write returns. Held before
the switch-over, or with nothing to send, nothing is due.
Assumes: an iothread that runs; looks are its timers, with the big lock held.
Does not: watch a migration that starts with a time-out of 0.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from mig.runstate import MigrationState

if TYPE_CHECKING:
    from mig.migration import Migration

LOOKS: Final = 4
"""Looks in one time-out."""
LONGEST: Final = 1.0
"""Seconds between two looks at most: a time-out may be changed meanwhile."""


class Watch:
    """The watch over one migration."""

    def __init__(self, migration: Migration) -> None:
        self._migration = migration
        self._seen: tuple[int, int, MigrationState] | None = None
        self._since = 0.0

    def start(self) -> None:
        """Begin, if there is a time-out; from any thread."""
        if self._migration.parameters.stall_timeout_ms:
            self._migration.machine.mainloop.schedule(self.look)

    def look(self) -> None:
        """Look whether something moved since the last time; on the iothread."""
        migration = self._migration
        if not migration.live:
            return
        timeout = migration.parameters.stall_timeout_ms / 1000
        now, seen = time.monotonic(), self._progress()
        if seen != self._seen or not self._due():
            self._seen, self._since = seen, now
        elif timeout and now - self._since >= timeout:
            migration.give_up(
                TimeoutError(
                    f"the destination took nothing and said nothing for {timeout:g} s; see whether it stands"
                    " still, and migrate again, with a longer stall_timeout_ms if it is only slow"
                )
            )
            return
        wait = min(timeout / LOOKS, LONGEST) if timeout else LONGEST
        migration.machine.mainloop.call_later(wait, self.look)

    def _progress(self) -> tuple[int, int, MigrationState]:
        migration = self._migration
        listening = migration.return_path
        heard = 0 if listening is None else listening.heard
        return migration.channel.written, heard, migration.state.value

    def _due(self) -> bool:
        """Whether the destination is to do something."""
        migration = self._migration
        if migration.state.value is MigrationState.PRE_SWITCHOVER:
            return False
        listening = migration.return_path
        return migration.channel.buffered > 0 or (listening is not None and listening.waiting)
