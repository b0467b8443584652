"""A portfolio: several strategies share one budget, and what pays gets more of it.

No strategy finds everything (compare the columns of `bench.power`). So executions are dealt out by
shares that are fair at every moment: the member furthest behind its share goes next. The shares
begin with what the benchmark programs teach, after a turn for each of the first `STARTERS` members, and change
- with what the program looks like: reads-from fuzzing draws its constraints from the operations on shared objects
  that it has seen, so it gains where these are few (`FEW_EVENTS`), however many threads make them, and else loses;
- where these are all acquisitions of locks, uniform sampling gains: which critical section comes first is all that
  an interleaving says there, and each of these orders is as likely as any other;
- with the part of a member's recent executions whose schedule had not been run before by anybody: on a
  small program the random members soon repeat themselves, and depth-first search, which does not, takes over;
- with each kind of failure that a member was the first to show.

Nothing is drawn at random here, so a seed fixes the whole search. When depth-first search has run
every schedule there is nothing left for anybody, and the search has exhausted the program.
Deviation from multi-armed bandits, admitted: a member's share never falls below `LEAST` of what it began with,
since before the first failure nothing tells which member will find it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import drawn_by, listener_of, restart, tell
from verify.strategies.dfs import DFS
from verify.strategies.pct import PCT
from verify.strategies.pos import POS
from verify.strategies.random_walk import RandomWalk
from verify.strategies.reads_from import ReadsFrom
from verify.strategies.surw import SURW
from verify.strategies.urw import URW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from verify.abc import Strategy, T

STARTERS = 4
FEW_EVENTS = 8
FEW, MANY, LOCKS = 1.5, 0.4, 3.0
ACQUIRES = frozenset({"Lock.acquire", "RLock.acquire"})
LEAST = 0.08  # of its first share, which a member keeps
MEMORY = 0.95  # how much of a member's novelty comes from before its last execution
MOST_SCHEDULES = 200_000  # whose hashes are remembered
MOST_BONUS = 3.0


class Member:
    """One strategy with its account."""

    def __init__(self, name: str, strategy: Strategy, share: float) -> None:
        self.strategy = strategy
        self.name = name
        self.share = share
        self.credit = 0.0
        self.novelty = 1.0
        self.bonus = 1.0
        self.runs = 0

    @property
    def weight(self) -> float:
        """Its share as things stand."""
        return self.share * max(self.novelty * self.bonus, LEAST)


class Portfolio:
    """Deals executions out to its members."""

    name = "portfolio"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.depth_first = DFS(seed)
        self.reads_from = ReadsFrom(seed)
        self.members = [
            Member("pct", PCT(seed), 0.04),
            Member("urw", URW(seed), 0.22),
            Member("reads_from", self.reads_from, 0.38),
            Member("surw", SURW(seed), 0.23),
            Member("pos", POS(seed), 0.04),
            Member("dfs", self.depth_first, 0.07),
            Member("random", RandomWalk(seed), 0.02),
        ]
        self.complete = True
        self.seen: set[int] = set()
        self._take(self.members[0])

    @property
    def independent(self) -> str:
        """The name of what the member whose turn it is draws its runs from, if it does so independently."""
        return drawn_by(self.member.strategy)

    def _take(self, member: Member) -> None:
        # Bound here so that a choice costs what it costs the member alone.
        self.member = member
        # The listener may differ from one execution of a strategy to the next.
        self.listener = listener_of(member.strategy)
        self.choose: Callable[[Sequence[T], T], T] = member.strategy.choose
        self.draw: Callable[[int], int] = member.strategy.draw

    def new_execution(self) -> bool:
        """Let the member go on that is furthest behind its share."""
        while self.members:
            member = self._next()
            if member.strategy.new_execution():
                member.runs += 1
                self._take(member)
                return True
            self.members.remove(member)
            if member.strategy is self.depth_first and self.depth_first.complete:
                return False
        self.complete = False
        return False

    def _next(self) -> Member:
        """Return the member furthest behind its share; at first some have a turn each."""
        fresh = [member for member in self.members[:STARTERS] if not member.runs]
        if fresh:
            return fresh[0]
        weights = [member.weight * self._fit(member) for member in self.members]
        for member, weight in zip(self.members, weights, strict=True):
            member.credit += weight
        member = max(self.members, key=lambda one: one.credit)
        member.credit -= sum(weights)
        return member

    def _fit(self, member: Member) -> float:
        """Return how much a member gains or loses by what the program looks like."""
        events = self.reads_from.readers
        if not events:
            return 1.0
        locks = all(event.op in ACQUIRES for event in events)
        if member.name == URW.name:
            return LOCKS if locks else 1.0
        if member.name != self.reads_from.name:
            return 1.0
        return FEW if len(events) <= FEW_EVENTS and not locks else MANY

    def ended(self, choices: tuple[int, ...], *, news: bool, cut: bool) -> None:
        """Settle the account of the member whose execution is over."""
        member = self.member
        tell(member.strategy, choices, news=news, cut=cut)
        key = hash(choices)
        new = key not in self.seen
        if new and len(self.seen) < MOST_SCHEDULES:
            self.seen.add(key)
        member.novelty += (1.0 - MEMORY) * (new - member.novelty)
        if news:
            member.bonus = min(member.bonus + 0.5, MOST_BONUS)

    def restart(self) -> None:
        """Let the members that count or enumerate begin again: the program's scheduling points have changed."""
        self.seen.clear()
        for member in self.members:
            member.novelty = 1.0
            restart(member.strategy)

    def remaining(self) -> str:
        """Say how many schedules depth-first search has left, while it is among the members."""
        searching = any(member.strategy is self.depth_first for member in self.members)
        return self.depth_first.remaining() if searching else ""

    def worth(self, executions: int) -> str:
        """Say who ran how often, and what depth-first search can say."""
        runs = ", ".join(f"{member.name} {member.runs:,}" for member in self.members)
        searched = self.depth_first.worth(sum(self.depth_first.finished))
        if self.depth_first.done and self.complete:
            return searched
        return f"{executions:,} executions ({runs}): no bound holds for a portfolio; {searched}{self._own()}"

    def _own(self) -> str:
        """Say what the runs of PCT are worth, which are not all."""
        for member in self.members:
            if isinstance(member.strategy, PCT) and member.runs:
                return f"; {member.strategy.worth(member.runs)}"
        return ""
