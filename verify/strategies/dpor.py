"""DPOR: one execution of each equivalence class (source sets with sleep sets: Abdulla and others, JACM 2017).

Two executions are equivalent if exchanging neighbouring independent steps makes one of the other (`verify.dependence`
says what depends on what). The first execution runs straight on; races in it, and in those that follow, say which
tasks must be tried where. A task whose step was explored sleeps until a step that depends on it, so no class is run
to its end twice. An execution in which everybody who could go on sleeps is one begun in vain: it is counted as blocked.

Deviations, admitted
- Races are looked for when an execution has ended, in all of its new steps at once, instead of before each step.
- What happens before a step is a set of bits, not a vector clock (`dpor_races`).
- A lock's acquisitions race with each other, as if its releases were not there; so does every operation that may
  have to wait with what kept it waiting, also where it still waits when the execution ends.
- A timer is an enabled task: that it fires is a step on the clock, and on what the task waits for.
- The step that ends an execution before its time (a failure, the end of the last task that is no daemon) depends on
  every step that was still to come.
- Values that the program draws are branches of their own, up to 16; the step that drew one never sleeps on.
- A loop that polls makes infinitely many classes. After a task has given way (sleep, failed try, time-out) the next in
  turn goes on; an execution in which a task has done so more than `ROUNDS` times is only followed to its end from
  there, and the search never says then that it is complete.
- Executions that reach the step bound, calls that no schedule controls, signals, and invariants that are looked at
  between any two steps, where executions of one class differ: never complete either.
Steps of a task between operations are taken to touch nothing that other tasks touch: so it is at granularities `auto`
and `access`, which make operations of such accesses; at `sync` it is the program's promise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify.abc import INTERRUPT, UNCONTROLLED, WATCHED, ScheduleMismatchError
from verify.steps import StepLog, Steps
from verify.strategies.dfs import BEYOND, MOST_VALUES, VALUES
from verify.strategies.dpor_races import Races
from verify.strategies.dpor_tree import Drawn, Node, independent
from verify.strategies.yields import gave_way, in_turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import T
    from verify.steps import Entry, Step

ROUNDS = 4
MOST_EXPLORED = 20_000
"""Executions whose choices are kept for a certificate; beyond them none are."""
POLLING = f"loops that poll, beyond {ROUNDS} rounds of a task"
OUTSIDE = {
    INTERRUPT: "signals",
    UNCONTROLLED: "calls that no schedule controls",
    WATCHED: "what invariants see between steps that are independent",
}


class DPOR:
    """Every class of executions, each run once."""

    name = "dpor"
    thorough = True

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.listener = StepLog()
        self.left_out: dict[str, None] = {}
        self.restart()

    @property
    def complete(self) -> bool:
        """Whether nothing was left out of what was to be searched."""
        return not self.left_out

    def restart(self) -> None:
        """Begin again: the program's scheduling points have changed."""
        self.classes = 0
        self.blocked = 0
        self.done = False
        self.started = False
        self.explored: list[tuple[int, ...]] = []
        self.path: list[Node | Drawn] = []
        self.nodes: dict[int, Node] = {}
        self.steps = Steps()
        self.races_of = Races(self.steps, self.nodes)
        self.prefix: list[Entry] = []
        self.at = 0
        self._begin()

    def _begin(self) -> None:
        self.at = 0
        self.forced = len(self.path)
        self.limit = -1
        self.free = False
        self.given_way: dict[int, int] = {}

    @property
    def races(self) -> int:
        """How many races were found."""
        return self.races_of.found

    def ended(self, choices: Sequence[int], *, news: bool, cut: bool) -> None:
        """Keep the choices of an execution; note whether it went its way to the end."""
        del news
        if cut:
            self.left_out[BEYOND] = None
        if self.classes + self.blocked >= MOST_EXPLORED:
            self.explored = []
        elif not self.in_vain:
            self.explored.append(tuple(choices))

    # --- the tree

    def new_execution(self) -> bool:
        """Move on to the next execution; False when there is none."""
        if self.done:
            return False
        if self.started:
            self._settle()
            if not self._next():
                self.done = True
                return False
        self.started = True
        self._begin()
        return True

    def _settle(self) -> None:
        """Look for the races of the execution that ended."""
        log, steps = self.listener, self.steps
        for what in log.outside:
            self.left_out[OUTSIDE[what]] = None
        blocked = self.in_vain
        end = len(steps.list)
        if blocked:
            self.blocked += 1
            while end and steps.list[end - 1].begins >= self.limit:
                end -= 1
            self.races_of.look(end, steps.born)
            return
        self.classes += 1
        cut_short = any(task.able for task in log.standing)
        if log.daemons and steps.list:
            steps.list[-1].everything = True
        self.races_of.look(end, steps.born)
        self.races_of.look_ahead(log.standing)
        if cut_short and steps.list:
            steps.list[-1].everything = True

    @property
    def in_vain(self) -> bool:
        """Whether all who could go on slept somewhere in the last execution: what it did then was run already."""
        self.steps.take(self.listener)
        if self.limit < 0 and not self.free:
            self._sleepers()
        return self.limit >= 0

    def _next(self) -> bool:
        path = self.path
        while path:
            last = path[-1]
            if isinstance(last, Node):
                if last.next(self._step_at(last.begins)):
                    self._cut(last.begins)
                    return True
                del self.nodes[last.begins]
            elif last.value + 1 < last.bound:
                last.value += 1
                self._cut_to_draw()
                return True
            path.pop()
        return False

    def _step_at(self, begins: int) -> Step:
        step = self.steps.list[self._index(begins)]
        if step.values:
            step.everything = True  # what it does depends on what it draws
        return step

    def _index(self, begins: int) -> int:
        """Return the number of the step that begins at a place in the log."""
        steps = self.steps.list
        low, high = 0, len(steps)
        while low < high:
            middle = (low + high) // 2
            if steps[middle].begins < begins:
                low = middle + 1
            else:
                high = middle
        return low

    def _cut(self, begins: int) -> None:
        count = self._index(begins)
        self.races_of.cut(count)
        self.steps.cut(count)
        self.prefix = self.listener.entries[:begins]

    def _cut_to_draw(self) -> None:
        """Keep the steps before the one that drew: it will be another."""
        nodes = [each for each in self.path if isinstance(each, Node)]
        self._cut(nodes[-1].begins if nodes else 0)

    # --- one step

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Take the forced choice, else one that does not sleep."""
        at = self.at
        if at < self.forced:
            self.at = at + 1
            node = self.path[at]
            if (
                isinstance(node, Node)
                and len(node.enabled) == len(enabled)
                and enabled[node.place].index == node.chosen
            ):
                return enabled[node.place]
            raise self._mismatch(at)
        if at == self.forced and self.listener.entries[: len(self.prefix)] != self.prefix:
            raise self._mismatch(at)
        order = self._order(enabled, current)
        if self.free or self.limit >= 0:
            return order[0]
        if current.yields > ROUNDS:
            self.left_out[POLLING] = None
            self.free = True
            return order[0]
        return self._choose(enabled, order)

    def _choose(self, enabled: Sequence[T], order: Sequence[T]) -> T:
        asleep = self._sleepers()
        begins = len(self.listener.entries)
        chosen = next((task for task in order if task.index not in asleep), None)
        if chosen is None and self.limit < 0:
            self.limit = begins
        if chosen is None or self.limit >= 0:
            return order[0]
        node = Node(tuple(task.index for task in enabled), chosen.index, begins, asleep)
        self.path.append(node)
        self.nodes[begins] = node
        self.at += 1
        return chosen

    def _order(self, enabled: Sequence[T], current: T) -> Sequence[T]:
        """Return the tasks, first the one that goes on if there is no reason for another."""
        if gave_way(current, self.given_way):
            return in_turn(enabled, current)
        return sorted(enabled, key=lambda task: (not task.runnable, task is not current))

    def _sleepers(self) -> dict[int, Step]:
        """Return who still sleeps after the steps since the last node; note it if one of them has run."""
        node = next((each for each in reversed(self.path) if isinstance(each, Node)), None)
        if node is None or not (node.asleep or node.done):
            return {}
        asleep = {**node.asleep, **node.done}
        self.steps.take(self.listener)
        steps = self.steps.list
        for at in range(self._index(node.begins), len(steps)):
            step = steps[at]
            if step.task in asleep:
                self.limit = step.begins
                return asleep
            asleep = {task: each for task, each in asleep.items() if independent(each, step)}
        return asleep

    def draw(self, bound: int) -> int:
        """Go through all values below a small bound; else take 0, and claim nothing."""
        if bound > MOST_VALUES:
            self.left_out[VALUES] = None
            return 0
        if self.at < self.forced:
            drawn = self.path[self.at]
            if not isinstance(drawn, Drawn) or drawn.bound != bound:
                raise self._mismatch(self.at)
            self.at += 1
            return drawn.value
        if self.limit < 0:
            self.path.append(Drawn(bound))
            self.at += 1
        return 0

    def _mismatch(self, at: int) -> ScheduleMismatchError:
        return ScheduleMismatchError(
            f"choice {at} is not among the alternatives it had, or the operations before it are not those that were "
            "there, after the same choices before"
        )

    def worth(self, executions: int) -> str:
        """Say how much of the tree was run."""
        blocked = f", {self.blocked:,} begun in vain" if self.blocked else ""
        counts = f"{self.classes:,} classes{blocked}, {self.races:,} races"
        if self.done and self.complete:
            return (
                "one schedule of every equivalence class was run, at these scheduling points, between which threads "
                f"are taken to share nothing ({counts})"
            )
        said = f"dpor, {executions:,} executions: not every equivalence class was run"
        if self.left_out:
            said = f"{said}; left out: {', '.join(self.left_out)}"
        return f"{said} ({counts})"
