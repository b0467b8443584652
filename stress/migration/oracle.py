"""What must hold of a migration, checked from outside the engine.

Promises: listens to the trace points of one or two machines, turns accesses into scheduling points
of the running check, and keeps its own account of who wrote, marked and sent which page when; it
trusts no counter of the engine. Everything it finds is an `InvariantError` with the invariant's
name. Under real threads nothing schedules and the same checks hold at the events.

Invariants
1. "dirty at sync": newly dirty at sync k are at most the distinct pages marked since the harvest
   before (since logging began, for the first). A mark that comes while a block is being harvested
   counts for both.
2. "final dirty set": at the end of the completion every page ever marked is, byte for byte, as it
   was last sent.
3. "guest stands still": no guest store between the begin of the completion and the end of the
   migration.
4. "bitmap counter": the counter equals the population whenever the bitmap lock is free.
5. "one side runs": never two sides, and exactly one after the end unless the guest was paused.
6. "no write under the big lock": no blocking socket write while the big lock is held (designs that
   promise it).
7. "memory equal", "devices equal": the destination holds what the source held when it stopped.
8. "no stale block": no page is read for sending that lies in no block of the list.
9. "harvested in time": while the guest runs, a sync comes when every page known to be dirty has been sent
   (designs that promise it).
10. "locks free at the end": nobody holds one when all is over.

What is compared is compared where the accesses it is about conflict, so that schedules which differ
only in the order of independent operations are judged alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import verify

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from mig.bitmap import Bitmap
    from mig.tracepoints import Tracepoints

__stage3_fold__ = True  # a site is the engine's place, not this listener's

COPY_S_PER_PAGE = 1e-6
"""Virtual time of reading or writing one page."""


class Account:
    """What became of which page."""

    def __init__(self) -> None:
        self.marked: set[int] = set()
        self.sent: dict[int, bytes] = {}
        """Page -> content when it was last sent."""
        self.since_harvest: set[int] = set()
        self.before_harvest: set[int] = set()
        self.being_harvested: tuple[int, int] = (0, 0)
        self.stands_still = False

    def harvest(self, lo: int, hi: int) -> None:
        """A harvest reads the log of pages [lo, hi) now; marks from here on belong to the next one as well."""
        # A copy in one step: on real threads vCPUs mark meanwhile.
        pages = {page for page in self.since_harvest.copy() if lo <= page < hi}
        self.before_harvest |= pages
        self.since_harvest -= pages
        self.being_harvested = lo, hi

    def clear(self, lo: int, hi: int) -> None:
        """The harvest of [lo, hi), if it is that, clears what it found."""
        if self.being_harvested == (lo, hi):
            self.being_harvested = 0, 0

    def mark(self, page: int) -> None:
        """A page is marked."""
        self.marked.add(page)
        self.since_harvest.add(page)
        lo, hi = self.being_harvested
        if lo <= page < hi:
            self.before_harvest.add(page)


class Oracle:
    """Judges one migration.

    `strict_writes`: the design promises not to write under the big lock; `rounds`: to harvest between rounds only.
    `content` returns the bytes of a page of the source, None where no block holds it.
    """

    def __init__(
        self, content: Callable[[int], bytes | None], *, strict_writes: bool, rounds: bool = False
    ) -> None:
        self.content = content
        self.strict_writes = strict_writes
        self.rounds = rounds
        self.bitmap: Bitmap | None = None
        self.pages = Account()
        self.running: dict[str, bool] = {}
        self.late: list[str] = []
        self.committed: threading.Event | None = None
        """Where a scenario waits for it: set when the source gives the guest away."""
        self.syncs: list[tuple[int, int, int]] = []
        """Of each sync: its number, pages newly dirty, distinct pages marked since the harvest before."""

    def attach(self, trace: Tracepoints) -> None:
        """Listen to a machine."""
        trace.listener = _Ear(self, trace.role)

    def watch_bitmap(self, bitmap: Bitmap) -> None:
        """Check the counter of a bitmap between any two operations."""
        self.bitmap = bitmap

        def check() -> str | None:
            if not verify.is_free(bitmap.lock) or bitmap.count == bitmap.population():
                return None
            return f"it says {bitmap.count}, {bitmap.population()} bits are set"

        verify.invariant("bitmap counter", check, guarded=True)

    # --- what the engine tells ---

    def access(self, name: str, lo: int, hi: int, *, write: bool) -> None:
        """Let others in before an access of the source, then account for it."""
        verify.access(name, lo, hi, write=write)
        if name == "guest_page":
            verify.advance(COPY_S_PER_PAGE * (hi - lo))
            if write and self.pages.stands_still:
                verify.broken(
                    "guest stands still",
                    f"a vCPU stores to page {lo} after the source has begun to complete",
                )
        elif name == "dirty_log" and write:
            self.pages.clear(lo, hi)
        elif name == "dirty_log":
            self.pages.harvest(lo, hi)

    def page_marked(self, page: int) -> None:
        """A store is in the log."""
        self.pages.mark(page)

    def page_sent(self, page: int) -> None:
        """A page has been read for sending."""
        content = self.content(page)
        if content is None:
            verify.broken(
                "no stale block", f"page {page} is sent, and no block of the list holds it"
            )
            return
        self.pages.sent[page] = content

    def sync(self, number: int, newly: int) -> None:
        """A harvest has been merged."""
        marked = len(self.pages.before_harvest)
        self.pages.before_harvest = set()
        self.pages.being_harvested = 0, 0
        self.syncs.append((number, newly, marked))
        left = 0 if self.bitmap is None else self.bitmap.count - newly
        if self.rounds and number and left > 0 and not self.pages.stands_still:
            verify.broken(
                "harvested in time",
                f"sync {number} harvests while {left} pages of the round before are still to be sent",
            )
        if number and newly > marked:
            since = "logging began" if number == 1 else f"sync {number - 1}"
            self.late.append(
                f"sync {number} marked {newly} pages dirty, {marked} were marked since {since}"
            )

    def finish(self) -> None:
        """Report what did no harm but cost: pages sent again without need."""
        if self.late:
            verify.broken("dirty at sync", self.late[0])

    def complete_begin(self) -> None:
        """The guest is said to stand still and what is left is about to be sent."""
        self.pages.stands_still = True

    def complete_over(self) -> None:
        """The completion was called off: the guest may run again."""
        self.pages.stands_still = False

    def complete_end(self) -> None:
        """All that was left has been queued."""
        late = sorted(
            page
            for page in self.pages.marked
            if (now := self.content(page)) is not None and now != self.pages.sent.get(page)
        )
        if late:
            verify.broken(
                "final dirty set",
                f"pages {late[:8]} were written after they were last sent and are not sent again",
            )

    def run_state(self, role: str, state: str) -> None:
        """A side changes what its guest does."""
        self.running[role] = state == "running"
        if state == "running" and role == "source":
            self.pages.stands_still = False
        both = [role for role, runs in self.running.items() if runs]
        if len(both) > 1:
            verify.broken("one side runs", f"{' and '.join(sorted(both))} both run the guest")

    def migration_state(self, new: str) -> None:
        """The migration has moved."""
        if new == "committed" and self.committed is not None:
            self.committed.set()

    def write_begin(self, size: int, *, big_lock_held: bool) -> None:
        """A write that may block is about to begin."""
        if self.strict_writes and big_lock_held:
            verify.broken(
                "no write under the big lock",
                f"{size} bytes are written while the big lock is held",
            )


class _Ear:
    """The listener of one machine."""

    def __init__(self, oracle: Oracle, role: str) -> None:
        self.oracle = oracle
        self.role = role

    def access(self, name: str, lo: int, hi: int, write: bool) -> None:  # noqa: FBT001 - as the engine calls it
        """Pass an access of the source on; nobody contends for the destination's memory."""
        if self.role == "source":
            self.oracle.access(name, lo, hi, write=write)

    def event(self, name: str, **values: int | str | bool) -> None:
        """Pass an event on to the method of its name."""
        oracle = self.oracle
        if name == "run_state":
            oracle.run_state(str(values["role"]), str(values["state"]))
        elif self.role != "source":
            return
        elif name == "page_marked":
            oracle.page_marked(int(values["page"]))
        elif name == "page_sent":
            oracle.page_sent(int(values["page"]))
        elif name == "sync":
            oracle.sync(int(values["number"]), int(values["newly"]))
        elif name == "migration_state":
            oracle.migration_state(str(values["new"]))
        elif name == "complete_begin":
            oracle.complete_begin()
        elif name == "complete_end":
            oracle.complete_end()
        elif name == "write_begin":
            oracle.write_begin(int(values["bytes"]), big_lock_held=bool(values["big_lock_held"]))
