"""Steering: follow a recorded order of operations, with seeded deviations.

At each choice the enabled task whose next recorded operation is the earliest goes on; a task that stands before the
wait it was found in at the end is held back there, so that those who are to close the circle around it come first.
The first execution follows the order to the letter. Later ones deviate at a drawn rate, or follow only from a drawn
step on, for a recording can lack its beginning, and on real threads sizes and time-outs fall otherwise than under
control; every fourth leaves the order alone (PCT).

Where the program does something else than recorded, a task's place in the order is found again by the next operation
with the same name and source line; where nothing recorded happens for long, any enabled task may go on.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from verify.abc import Detector
from verify.course import MAIN, same_name, site_of_text
from verify.strategies.pct import PCT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.abc import ExecutionView, T, TaskView
    from verify.course import Course, Mark, Track

RATES = (0.0, 0.02, 0.1, 0.0, 0.05, 0.3, 0.0)
"""Rates of deviation; executions take turns at them."""
NEAR = 64
"""A task's next operation is looked for among so many of its recorded ones; its first one among all."""
PATIENCE = 60
"""Choices without a recorded operation after which the order is left for one choice."""
FREE_EVERY = 4
LAST = float("inf")


class Place:
    """Where a task is on its track: the marks before `at` are behind it; `seen` are those it made."""

    __slots__ = ("at", "seen", "track")

    def __init__(self, track: Track) -> None:
        self.track = track
        self.at = 0
        self.seen = 0

    def rank(self, task: TaskView) -> float:
        """Return when the task's turn is: the place of its next operation in the order."""
        track = self.track
        if self.at < len(track.marks):
            return track.marks[self.at].order
        goal = track.goal
        if goal is None:
            return LAST
        return LAST if task.op == goal.operation else goal.order

    def see(self, op: str, site: str) -> Sequence[Mark]:
        """The task made an operation; return its mark if it is a recorded one, else nothing.

        With its first one come those before it: they were made outside the program under test.
        """
        marks = self.track.marks
        end = min(len(marks), self.at + NEAR) if self.seen else len(marks)
        for at in range(self.at, end):
            mark = marks[at]
            if mark.operation == op and mark.site == site:
                first = at if self.seen else self.at
                self.at = at + 1
                self.seen += 1
                return marks[first : at + 1]
        return ()


class Steered(Detector):
    """The strategy, which also listens, so as to know which operations took effect."""

    name = "steered"

    def __init__(self, course: Course, seed: int = 0) -> None:
        self.course = course
        self.seed = seed
        self.rng = Random(seed)
        self.pct = PCT(seed)
        self.words = frozenset(mark.operation for track in course.tracks for mark in track.marks)
        self.executions = 0
        self.most_choices = 1
        self.listener = self
        self._begin()

    def _begin(self) -> None:
        self.places: dict[int, Place | None] = {}
        self.unclaimed = list(self.course.tracks)
        self.made: set[int] = set()
        self.count = 0
        self.idle = 0
        self.rate = 0.0
        self.follow_from = 0.0

    def new_execution(self) -> bool:
        """Draw how closely this execution follows."""
        self.most_choices = max(self.most_choices, self.count)
        number = self.executions
        self.executions += 1
        self._begin()
        self.pct.new_execution()
        if number == 0:
            return True
        if number % FREE_EVERY == FREE_EVERY - 1:
            self.follow_from = LAST
            return True
        self.rate = RATES[number % len(RATES)]
        if not self.course.whole:
            self.follow_from = self.rng.random() * self.most_choices
        return True

    def choose(self, enabled: Sequence[T], current: T) -> T:
        """Let the task go on whose turn it is in the recorded order."""
        self.count += 1
        self.idle += 1
        free = self.pct.choose(enabled, current)  # asked always: it counts and learns
        if self.count <= self.follow_from:
            return free
        if self.idle > PATIENCE or (self.rate and self.rng.random() < self.rate):
            return enabled[int(self.rng.random() * len(enabled))]
        ranks = {task: self._rank(task) for task in enabled}
        best = min(ranks.values())
        if best == LAST:
            return free
        if ranks.get(current) == best:
            return current
        return next(task for task, rank in ranks.items() if rank == best)

    def draw(self, bound: int) -> int:
        """Draw evenly."""
        return int(self.rng.random() * bound)

    def worth(self, executions: int) -> str:
        """Say what `executions` without the hang are worth."""
        return f"{executions} executions steered by a recorded order: no bound holds"

    def operation(self, execution: ExecutionView, task: TaskView, op: str, target: object) -> None:
        """Move the task on along its track."""
        del target
        if op not in self.words:
            return
        place = self.place_of(task)
        marks = place.see(op, site_of_text(execution.site_of(task))) if place is not None else ()
        if marks:
            self.made.update(mark.order for mark in marks)
            self.idle = 0

    def _rank(self, task: TaskView) -> float:
        place = self.place_of(task)
        return LAST if place is None else place.rank(task)

    def place_of(self, task: TaskView) -> Place | None:
        """Return where a task is; a new task gets the track that fits best of those that are left, or none."""
        if task.index not in self.places:
            track = self._claim(task)
            self.places[task.index] = Place(track) if track is not None else None
        return self.places[task.index]

    def _claim(self, task: TaskView) -> Track | None:
        name = same_name(task.title)
        fitting = [
            track
            for track in self.unclaimed
            if (track.path == MAIN) == (task.index == 0)
            and (task.index == 0 or not track.name or same_name(track.name) == name)
        ]
        if not fitting:
            return None
        by_path = (track for track in fitting if track.path == task.path)
        by_name = (track for track in fitting if track.name)
        track = next(by_path, None) or next(by_name, fitting[0])
        self.unclaimed.remove(track)
        return track

    def followed(self) -> int:
        """Return the length of the longest beginning of the recorded order that this execution made."""
        orders = sorted(mark.order for track in self.course.tracks for mark in track.marks)
        return next((at for at, order in enumerate(orders) if order not in self.made), len(orders))
