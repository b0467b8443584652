"""What a run leaves behind for the judge: each thread's nested acquisitions, with what was held and when.

Promises: a lock is told by a key that its source vouches for, never by `id()`; a thread by a number that is used once
in a run. Two acquisitions of different threads are ordered only where a start or a join orders them: that order holds
in every schedule, while the order that a lock, a queue or an event made in this run may be another in the next.
A `Trail` belongs to one thread: its methods are called by it alone, except `starts_of` and `joined`, which see a
thread that has not begun or has ended.
Does not: know where the calls come from (`listener`, `live`), nor what they mean (`judge`).
"""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NamedTuple

from traces.lock_order import Mode

if TYPE_CHECKING:
    from collections.abc import Hashable

    Key = Hashable
    Clock = dict[int, int]
    Held = tuple[Key, object, bool, object]

__all__ = ["Dependency", "Hold", "Run", "Trail", "Waiting"]

MOST_DEPENDENCIES: Final = 20_000
MOST_EPOCHS: Final = 8
"""A thread that takes the same locks again after a start or a join: so many times it counts as something new."""
MOST_CLOCK: Final = 1024
"""Threads that a clock remembers; the order behind the oldest is forgotten, which can only report more."""

NEVER: Final = (0, 0)

DEPENDENCIES_FULL: Final = (
    f"more than {MOST_DEPENDENCIES:,} nested acquisitions in a run: some are missing"
)


class Hold(NamedTuple):
    """A lock that a thread holds: which, where it was taken, for reading only, and its order key, if it has one.

    A trail keeps them as plain tuples: making those costs a fifth.
    """

    lock: Key
    site: object
    shared: bool
    order: object


class Dependency(NamedTuple):
    """`lock` was taken in `mode` at `site` while `held` were held, outermost first; `order` is its order key."""

    trail: Trail
    clock: Clock
    held: tuple[Hold, ...]
    lock: Key
    mode: Mode
    site: object
    shared: bool
    order: object


class Waiting(NamedTuple):
    """A wait for a notification of `condition` at `site` while `held` were held, the condition's own lock left out."""

    trail: Trail
    held: tuple[Hold, ...]
    condition: Key
    site: object


@dataclass
class Run:
    """All trails of one run. `handed` are locks given back by another thread; `notes` say what is missing."""

    trails: list[Trail] = field(default_factory=list)
    handed: set[Key] = field(default_factory=set)
    notes: set[str] = field(default_factory=set)

    def dependencies(self) -> list[Dependency]:
        """Return those of all trails, at most `MOST_DEPENDENCIES`."""
        out = [each for trail in self.trails for each in trail.found]
        if len(out) > MOST_DEPENDENCIES:
            self.notes.add(DEPENDENCIES_FULL)
        return out[:MOST_DEPENDENCIES]

    def notified(self) -> dict[Key, frozenset[Key]]:
        """Return for each condition what was held at every notification."""
        out: dict[Key, frozenset[Key]] = {}
        for trail in self.trails:
            for condition, held in trail.notified.items():
                out[condition] = out[condition] & held if condition in out else held
        return out


class Trail:
    """One thread's part. `clock` is never changed in place: dependencies share it."""

    __slots__ = (
        "clock", "epoch", "epochs", "found", "held", "main", "notified", "number", "run", "seen", "title", "waits",
    )  # fmt: skip

    def __init__(self, run: Run, number: int, title: str, clock: Clock, *, main: bool) -> None:
        self.run = run
        self.number = number
        self.title = title
        self.main = main
        self.epoch = 1
        self.clock = {**clock, number: 1}
        self.held: list[Held] = []
        self.seen: set[Key] = set()
        self.epochs: dict[Key, tuple[int, int]] = {}
        self.found: list[Dependency] = []
        self.waits: dict[Key, Waiting] = {}
        self.notified: dict[Key, frozenset[Key]] = {}
        run.trails.append(self)

    def split(self) -> Trail:
        """Return what was found so far as a trail of its own; the thread goes on with what it holds, and its clock."""
        past = copy(self)
        self.seen, self.epochs, self.found = set(), {}, []
        self.waits, self.notified = {}, {}
        return past

    # --- order between threads

    def starts(self) -> Clock:
        """The thread starts another one: return the clock to begin that one with."""
        before = self.clock
        self._tick(before)
        return before

    def joined(self, other: Clock) -> None:
        """The thread saw another one end, whose last clock was `other`."""
        mine = self.clock
        self._tick({**mine, **{at: max(n, mine.get(at, 0)) for at, n in other.items()}})

    def _tick(self, clock: Clock) -> None:
        self.epoch += 1
        now = {**clock, self.number: self.epoch}
        while len(now) > MOST_CLOCK:
            del now[next(at for at in now if at != self.number)]
        self.clock = now

    # --- locks

    def wants(
        self, lock: Key, mode: Mode, site: object, *, shared: bool = False, order: object = None
    ) -> None:
        """Note that `lock` is taken, or waited for, while others are held."""
        held = self.held
        if not held:
            return
        waits = mode is Mode.WAITS
        if waits and self.holds(lock):
            return  # a thread's own lock a second time: that is a self-deadlock, no question of order
        # What programs do over and over has to be cheap: no mode is hashed that need not be.
        first = held[0]
        key: Key = (lock, None if waits else mode, shared, first[0], first[2])
        if len(held) > 1:
            key = (key, *[each[0] for each in held], *[each[2] for each in held])
        epoch = self.epoch
        times, last = self.epochs.get(key, NEVER)
        if last == epoch or times >= MOST_EPOCHS:
            return
        self.epochs[key] = (times + 1, epoch)
        if len(self.found) >= MOST_DEPENDENCIES:
            self.run.notes.add(DEPENDENCIES_FULL)
            return
        holds = tuple(Hold(*each) for each in held)
        self.found.append(Dependency(self, self.clock, holds, lock, mode, site, shared, order))

    def takes(self, lock: Key, site: object, *, shared: bool = False, order: object = None) -> None:
        """Note that `lock` is held from now on."""
        self.seen.add(lock)
        self.held.append((lock, site, shared, order))

    def gives(self, lock: Key) -> bool:
        """Note that one hold of `lock` ends, the latest; return whether the thread had one."""
        held = self.held
        for at in range(len(held) - 1, -1, -1):
            if held[at][0] == lock:
                del held[at]
                return True
        return False

    def holds(self, lock: Key) -> bool:
        """Say whether the thread holds `lock`."""
        for each in self.held:  # noqa: SIM110 - a generator costs more than the rest
            if each[0] == lock:
                return True
        return False

    # --- conditions

    def waits_for(self, condition: Key, own: Key, site: object) -> None:
        """Note that the thread waits for a notification; `own` is the lock that the wait gives back."""
        held = tuple(Hold(*each) for each in self.held if each[0] != own)
        if held:
            key = (condition, *(each.lock for each in held))
            self.waits.setdefault(key, Waiting(self, held, condition, site))

    def notifies(self, condition: Key, own: Key) -> None:
        """Note that the thread notifies; what is held at every notification is kept."""
        held = frozenset(each[0] for each in self.held if each[0] != own)
        known = self.notified.get(condition)
        self.notified[condition] = held if known is None else known & held
