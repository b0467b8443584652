"""The endgame: what takes over from the strategy when an execution reaches its step bound, and how it is judged.

1. The strategy is replaced: first by the fair scheduler of CHESS, under which the current task goes on until it gives
   way or blocks, later by turns (who ran least recently goes next), which is fair to those that wait for a task that
   never gives way, too. `PHASES` says in which order and for how long.
2. If the execution ends in that suffix it was merely slow, and is judged like any other.
3. At the end of a phase its last steps are looked at for a period. If there is one, `ROUNDS` more rounds are watched:
   the same task, operation, object and source line at every step, and the same state of the program (as far as
   `verify.runtime.state` sees it) at the beginning of each. Both schedulers go by what happened in the last
   round alone, so that what came to the same state twice comes to it for ever: the detectors see a `Cycle` and judge.
4. If not (something changes from round to round, or nothing repeats), the next phase begins. After the last one the
   detectors see what there is; the cycle then says what changes, or there is none.

Deterministic, so a schedule that runs into it replays like any other.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from verify.abc import Cycle, CycleStep, Detector, name_of
from verify.fairness import Relation
from verify.runtime.state import changed, state_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from verify.abc import ExecutionView, Finding, TaskView
    from verify.runtime.execution import Execution
    from verify.runtime.state import State
    from verify.runtime.task import Task

    Choose = Callable[[Sequence[Task], Task], Task]
    Step = tuple[str, str, str]

RECENT = 4096  # steps that are looked at for a period
LEAST = 256  # of these must repeat, or three periods where that is more
ROUNDS = 2
NUMBER = re.compile(r"#\d+")


class GivingWay:
    """The current task goes on until it gives way or blocks; who gave way waits for those it kept waiting."""

    def __init__(self) -> None:
        self.relation = Relation()
        self.yields: dict[int, int] = {}

    def choose(self, enabled: Sequence[Task], me: Task) -> Task:
        """Pick a task that need not wait: the current one, else the next in turn."""
        relation = self.relation
        gave_way = me.yields != self.yields.get(me.index, 0)
        self.yields[me.index] = me.yields
        relation.step(me.index, [task.index for task in enabled], gave_way=gave_way)
        allowed = relation.allowed(enabled)
        if me in allowed and me.runnable and not gave_way:
            return me
        return next((task for task in allowed if task.index > me.index), allowed[0])


class InTurn:
    """The task that ran least recently goes next."""

    def __init__(self) -> None:
        self.last: dict[int, int] = {}
        self.turn = 0

    def choose(self, enabled: Sequence[Task], me: Task) -> Task:
        """Pick the task that waited longest."""
        self.turn += 1
        last = self.last
        last[me.index] = self.turn
        return min(enabled, key=lambda task: last.get(task.index, 0))


PHASES: tuple[tuple[type[GivingWay | InTurn], int], ...] = (
    (GivingWay, 1), (InTurn, 1), (InTurn, 4),
)  # fmt: skip
"""Schedulers of the suffix, and how long each has, in `Settings.fair_steps`."""


class Endgame(Detector):
    """Goes through the phases, and listens for a cycle."""

    name = "endgame"

    def __init__(self, execution: Execution) -> None:
        self.execution = execution
        self.phase = -1
        self.steps: list[Step] = []
        self.rounds: Rounds | None = None
        self.seen: Cycle | None = None

    def next(self) -> tuple[Choose | None, int]:
        """Return the next scheduler (None: go on with this one) and its number of steps; 0 at the end of all."""
        if self.rounds is None and self.phase >= 0:
            length = period(self.steps)
            if length:
                self.rounds = Rounds(self.execution, self.steps[-length:])
                # Some operations are announced twice, and blocked tasks count when they begin to wait.
                return None, (ROUNDS + 1) * 2 * length + len(self.execution.tasks)
        if self.rounds is not None:
            cycle = self.rounds.cycle
            self.seen = cycle if cycle is not None and cycle.changing else self.seen
        self.rounds = None
        self.phase += 1
        if self.phase == len(PHASES):
            return None, 0
        scheduler, share = PHASES[self.phase]
        return scheduler().choose, share * self.execution.settings.fair_steps

    def operation(
        self, execution: ExecutionView, task: TaskView, op: str, target: object
    ) -> Finding | None:
        """Keep one step; judge when the rounds that are watched were all the same."""
        step = (task.path, op, name_of(target))
        steps = self.steps
        steps.append(step)
        if len(steps) > 2 * RECENT:
            del steps[:RECENT]
        rounds = self.rounds
        if rounds is None or rounds.over:
            return None
        if not rounds.see(step, execution.site_of(task)):
            return None
        # Nothing more is to be seen in this phase: its steps end here.
        self.execution.granted -= self.execution.left
        self.execution.left = 0
        cycle = rounds.cycle
        return judged(self.execution, cycle) if cycle is not None and not cycle.changing else None


class Rounds:
    """Watches the rounds of a supposed cycle: `cycle` is what they came to, once they are `over`."""

    def __init__(self, execution: Execution, steps: list[Step]) -> None:
        self.execution = execution
        self.expected = [without_numbers(step) for step in steps]
        self.stem = execution.steps
        self.at = 0
        self.over = False
        self.cycle: Cycle | None = None
        self.round: list[CycleStep] = []
        self.states: list[State] = []
        self.always: set[str] = set()
        self.yields: dict[str, int] = {}

    def see(self, step: Step, site: str) -> bool:
        """Compare one step with the round before, take the state where a round begins; say whether that is all."""
        length = len(self.expected)
        round_, place = divmod(self.at, length)
        if without_numbers(step) != self.expected[place]:
            self.over = True
            return True
        here = {other.path for other in self.execution.enabled}
        self.always = here if self.at == 0 else self.always & here
        if place == 0:
            self.states.append(state_of(self.execution))
            if round_ == ROUNDS:
                self._end()
                return True
            if round_ == 0:
                self.yields = {other.path: other.yields for other in self.execution.tasks}
        made = CycleStep(*step, site)
        if round_ == 0:
            self.round.append(made)
        self.over = made.site != self.round[place].site
        self.at += 1
        return self.over

    def _end(self) -> None:
        self.over = True
        tasks = self.execution.tasks
        moving = {step.task for step in self.round}
        first, *later = self.states
        names = {name for state in later for name in changed(first, state)}
        self.cycle = Cycle(
            stem=self.stem,
            steps=tuple(self.round),
            giving_way=frozenset(
                task.path for task in tasks if task.yields > self.yields.get(task.path, 0)
            ),
            waiting=tuple(sorted(self.always - moving)),
            changing=tuple(sorted(names)),
        )


def judged(execution: Execution, cycle: Cycle | None) -> Finding | None:
    """Return what the first detector that judges executions without an end makes of this one."""
    for detector in execution.detectors:
        found = detector.endless(execution, cycle)
        if found is not None:
            return found
    return None


def without_numbers(step: Step) -> Step:
    """Return a step without the numbers of objects, which a loop may make anew in each round."""
    task, op, name = step
    return task, op, NUMBER.sub("#", name)


def period(steps: Sequence[Step]) -> int:
    """Return the least length at which the last steps repeat, 0 if they do not.

    At least `LEAST` steps must, and three times the length.
    """
    tail = [without_numbers(step) for step in steps[-RECENT:]]
    tail.reverse()
    for length in range(1, len(tail) // 3 + 1):
        most = max(3 * length, min(LEAST, len(tail)))
        if all(tail[at] == tail[at + length] for at in range(most - length)):
            return length
    return 0
