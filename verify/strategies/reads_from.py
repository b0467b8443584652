"""RFF: reads-from fuzzing (Wolff, Shi, Duck, Mathur, Roychoudhury, ASPLOS 2024).

What a program does is decided by who reads from whom, and there are far fewer answers to that than there are
schedules. An execution is steered by a few constraints "this read reads from that write" or "not from that one"
(`verify.strategies.constraints`) on top of partial order sampling. Sets of constraints whose executions showed a new
pair of write and read, or a combination of pairs not seen before, are kept, and changed at random: a constraint
more or less, another writer, the opposite. Sets whose combination has become common are passed over.

Deviations, admitted: an event is known by its kind, object and count in its task instead of its place in the code, as
looking up a place costs more than the rest of a step; who takes a lock reads from who took it before; the paper's
exponential energy is doubled with each turn of a set, up to `MOST_ENERGY` executions; of `MOST_KEPT` sets
and more those that only showed a combination are forgotten, oldest first. The first executions, and one in
`PLAIN_EVERY` of the others, have no constraints. Constraints on objects that one task alone uses are not drawn.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from verify.abc import Detector
from verify.strategies.constraints import Constraint, Constraints, Event
from verify.strategies.dependence import key_of, pending
from verify.strategies.pos import POS
from verify.strategies.yields import gave_way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import ExecutionView, T, TaskView

    Wanted = frozenset[Constraint]

PLAIN_FIRST = 2
PLAIN_EVERY = 10
ANEW = 0.25
"""Of the executions, how many begin with no constraint and are given one."""
UNSEEN = 0.5
"""Of the constraints drawn, how many ask for a pair that has not been seen, if there is one."""
MOST_ENERGY = 64
MOST_KEPT = 256
MOST_CONSTRAINTS = 12
LEAST_PATIENCE = 100


class Kept:
    """A set of constraints worth changing: how often it had its turn, and how common what it showed is."""

    __slots__ = ("combination", "pair", "turns", "wanted")

    def __init__(self, wanted: Wanted, combination: int, *, pair: bool) -> None:
        self.wanted = wanted
        self.combination = combination
        self.pair = pair
        self.turns = 0


class ReadsFrom(POS):
    """Fuzzes who reads from whom."""

    name = "reads_from"
    independent = ""  # it learns from its runs

    def __init__(self, seed: int = 0) -> None:
        super().__init__(seed)
        self.listener = Watcher(self)
        self.restart()

    def restart(self) -> None:
        """Forget what was seen: the program's scheduling points have changed."""
        self.runs = 0
        self.lengths: deque[int] = deque(maxlen=15)
        self.now: Constraints | None = None
        self.wanted: Wanted = frozenset()
        self.pairs: dict[tuple[Event | None, Event], None] = {}
        self.readers: dict[Event, None] = {}
        self.writers: dict[str, dict[Event | None, None]] = {}
        self.combinations: dict[int, int] = {}
        self.kept: list[Kept] = []
        self.turn = 0
        self.energy = 0

    def new_execution(self) -> bool:
        """Take in what the last execution showed, and draw the constraints of the next."""
        super().new_execution()
        if self.now is not None and self.now.steps:
            self._settle(self.now)
        self.runs += 1
        plain = self.runs <= PLAIN_FIRST or self.runs % PLAIN_EVERY == 0
        self.wanted = frozenset() if plain else self._changed(self._next())
        # Not the longest: one in which a loop spins while others are held back would make the next one longer.
        patience = max(
            LEAST_PATIENCE, sorted(self.lengths)[len(self.lengths) // 2] if self.lengths else 0
        )
        self.now = Constraints(sorted(self.wanted, key=str), patience)
        return True

    # --- one step

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Run what constraints want run before what they say nothing of, and that before what they avoid."""
        now = self.now
        if now is None or not now.by_role:
            return super().choose(enabled, current)
        priorities = self.priorities
        priorities[current.index] = self.random() - gave_way(current, self.given_way)
        best, top = enabled[0], float("-inf")
        for task in enabled:
            priority = priorities.get(task.index)
            if priority is None:
                priority = priorities[task.index] = self.random()
            # A priority is in [-1, 1): tiers lie two apart.
            priority += 2 * now.advice(task)
            if priority > top:
                best, top = task, priority
        self._draw_again(enabled, best, pending(best))
        return best

    # --- what was seen

    def _settle(self, now: Constraints) -> None:
        """Keep the constraints of the execution that ended if it showed a new pair or combination."""
        self.lengths.append(now.steps)
        pairs = [pair for pair in now.pairs if pair[1].role in now.shared]
        new_pair = not self.pairs.keys() >= set(pairs)
        self.pairs.update(dict.fromkeys(pairs))
        combination = hash(frozenset(pairs))
        seen = self.combinations.get(combination, 0)
        self.combinations[combination] = seen + 1
        if new_pair or not seen:
            self._learn(now)
            self._keep(Kept(self.wanted, combination, pair=new_pair))

    def _learn(self, now: Constraints) -> None:
        """Take the events on shared objects into the pools."""
        for event in now.seen:
            if event.role in now.shared:
                writers = self.writers.setdefault(event.role, {None: None})
                if event.reads:
                    self.readers[event] = None
                if event.writes:
                    writers[event] = None

    def _keep(self, kept: Kept) -> None:
        if len(self.kept) >= MOST_KEPT:
            at = next((at for at, one in enumerate(self.kept) if not one.pair), 0)
            del self.kept[at]
            self.turn = max(self.turn - (at < self.turn), 0)
        self.kept.append(kept)

    # --- what is tried next

    def _next(self) -> Wanted:
        """Return the set of constraints whose turn it is."""
        if not self.kept or self.random() < ANEW:
            return frozenset()
        if self.energy <= 0:
            self._next_turn()
        self.energy -= 1
        return self.kept[self.turn % len(self.kept)].wanted

    def _next_turn(self) -> None:
        """Go on to the next set whose combination is not more common than the average."""
        usual = sum(self.combinations.values()) / len(self.combinations)
        for _ in self.kept:
            self.turn = (self.turn + 1) % len(self.kept)
            kept = self.kept[self.turn]
            if self.combinations[kept.combination] <= usual:
                break
        kept = self.kept[self.turn]
        kept.turns += 1
        self.energy = min(1 << kept.turns, MOST_ENERGY)

    def _changed(self, wanted: Wanted) -> Wanted:
        """Return `wanted` with one constraint more, less, on another writer, or negated."""
        if not self.readers:
            return wanted
        constraints = sorted(wanted, key=str)
        point = self.random()
        if not constraints or (point < 0.5 and len(constraints) < MOST_CONSTRAINTS):
            return wanted | {self._drawn()}
        old = constraints[self._below(len(constraints))]
        rest = wanted - {old}
        if point < 0.65:
            return rest
        if point < 0.9:
            return rest | {old._replace(writer=self._writer_of(old.reader))}
        return rest | {old._replace(positive=not old.positive)}

    def _drawn(self) -> Constraint:
        readers = list(self.readers)
        reader = readers[self._below(len(readers))]
        if self.random() < UNSEEN:
            unseen = [
                writer for writer in self.writers[reader.role] if (writer, reader) not in self.pairs
            ]
            if unseen:
                return Constraint(reader, unseen[self._below(len(unseen))])
        return Constraint(reader, self._writer_of(reader), self.random() < 0.8)

    def _writer_of(self, reader: Event) -> Event | None:
        writers = list(self.writers[reader.role])
        return writers[self._below(len(writers))]

    def _below(self, bound: int) -> int:
        return int(self.random() * bound)

    def worth(self, executions: int) -> str:
        """Say what `executions` passes are worth."""
        return (
            f"{executions} executions of reads-from fuzzing: {len(self.pairs):,} pairs of write and read, "
            f"{len(self.combinations):,} combinations of them were seen; no bound holds"
        )


class Watcher(Detector):
    """Tells the constraints what took effect."""

    name = "watcher of reads_from"

    def __init__(self, strategy: ReadsFrom) -> None:
        self.strategy = strategy

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Pass one operation on."""
        del execution, op
        now = self.strategy.now
        if now is not None:
            now.happened(task, key_of(target))
